// The server's state as signals, updated by the follower.
import { batch, createSignal } from "solid-js";
import { appendLines, EMPTY_LOG } from "../lib/log-buffer";
import { browser } from "../sync/browser";
import type { FrontendPage, NodePage, Summary, Version } from "../sync/contract";
import type { DocumentStatus } from "../sync/document";
import { Follower } from "../sync/follower";
import { reportRefusals } from "../sync/refusals";
import type { Connection } from "../sync/stream";
import { checkSession } from "./admin";
import { publishHeartbeats } from "./heartbeats";
import { now, serverTime, setServerTime, startClock } from "./clock";

/** A document as the page shows it. */
export interface DocumentState<T> {
  readonly value: T | undefined;
  readonly status: DocumentStatus;
  readonly error: string;
}

const LOADING = { value: undefined, status: "loading", error: "" } as const;
const isSameState = <T>(a: DocumentState<T>, b: DocumentState<T>) =>
  a.value === b.value && a.status === b.status && a.error === b.error;

const [summary, setSummary] = createSignal<DocumentState<Summary>>(LOADING, { equals: isSameState });
const [node, setNode] = createSignal<DocumentState<NodePage>>(LOADING, { equals: isSameState });
const [frontendPages, setFrontendPages] = createSignal<ReadonlyMap<string, DocumentState<FrontendPage>>>(
  new Map(),
);
const [loading, setLoading] = createSignal(true);
const [log, setLog] = createSignal(EMPTY_LOG);
const [connection, setConnection] = createSignal<Connection>("connecting");
const [disconnectedAt, setDisconnectedAt] = createSignal(0);
const [lastContactAt, setLastContactAt] = createSignal(now());
const [serverVersion, setServerVersion] = createSignal("");
const [version, setVersion] = createSignal<Version>();
const [heartbeatCoverage, setHeartbeatCoverage] = createSignal<{
  readonly asked: number;
  readonly watched: number;
}>();

export {
  /** All nodes. */
  summary,
  /** The node whose tab is open. */
  node,
  /** The opened frontends. */
  frontendPages,
  /** True while a document that the page shows is being fetched. */
  loading,
  /** The log. */
  log,
  /** State of the connection. */
  connection,
  /** Start of the present disconnection, by the server's clock. */
  disconnectedAt,
  /** Time of the last message, by the server's clock. */
  lastContactAt,
  /** Version of the server of the present stream, which differs from the page's after an upgrade. */
  serverVersion,
  /** The server that the page was loaded from. */
  version,
  /** Number of requested and of delivered heartbeats. */
  heartbeatCoverage,
};

const ports = reportRefusals(browser, () => void checkSession());

export const follower = new Follower(ports, {
  batch: batch,
  documentsChanged: () => batch(publish),
  logLines: (name, epoch, lines) => setLog((before) => appendLines(before, name, epoch, lines)),
  heartbeats: publishHeartbeats,
  hello(hello) {
    setServerVersion(hello.version);
    setHeartbeatCoverage(hello.beats);
    if (!version()) void loadVersion();
  },
  serverTime: setServerTime,
  contacted: () => setLastContactAt(serverTime()),
  connection(next) {
    if (next === "lost") setDisconnectedAt(now());
    setConnection(next);
  },
});

let publishedPages = new Map<string, DocumentState<FrontendPage>>();

function publish(): void {
  const snapshot = <T>(document: DocumentState<T>): DocumentState<T> => {
    const { value, status, error } = document;
    return { value, status, error };
  };
  setSummary(snapshot(follower.summary));
  setNode(follower.node ? snapshot(follower.node) : LOADING);
  setLoading(follower.loading);
  const next = new Map<string, DocumentState<FrontendPage>>();
  let changed = follower.pages.size !== publishedPages.size;
  for (const [name, document] of follower.pages) {
    const before = publishedPages.get(name);
    const page = before && isSameState(before, document) ? before : snapshot(document);
    changed ||= page !== before;
    next.set(name, page);
  }
  if (!changed) return;
  publishedPages = next;
  setFrontendPages(next);
}

async function loadVersion(): Promise<void> {
  try {
    setVersion((await ports.get("api/version")) as Version);
  } catch {
    // Retried after the next hello.
  }
}

/** Starts the sync. The result stops it. */
export function startSync(): () => void {
  const stop = startClock(
    () => follower.checkLiveness(),
    () => follower.reopen(),
  );
  return () => {
    stop();
    follower.close();
  };
}

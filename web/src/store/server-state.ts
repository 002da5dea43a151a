// What is known now, as signals. The follower keeps it; here it becomes visible.
import { batch, createSignal } from "solid-js";
import { append, NO_LINES } from "../lib/log-buffer";
import { browser } from "../sync/browser";
import type { FrontendPage, NodeState, Summary, Version } from "../sync/contract";
import type { Standing } from "../sync/document";
import { Follower } from "../sync/follower";
import type { Connection } from "../sync/stream";
import { takeBeats } from "./heartbeats";
import { now, serverTime, setServerTime, startClock } from "./clock";

/** A document as the page shows it. */
export interface Shown<T> {
  readonly value: T | undefined;
  readonly standing: Standing;
  readonly error: string;
}

const LOADING = { value: undefined, standing: "loading", error: "" } as const;
const same = <T>(a: Shown<T>, b: Shown<T>) =>
  a.value === b.value && a.standing === b.standing && a.error === b.error;

const [summary, setSummary] = createSignal<Shown<Summary>>(LOADING, { equals: same });
const [node, setNode] = createSignal<Shown<NodeState>>(LOADING, { equals: same });
const [pages, setPages] = createSignal<ReadonlyMap<string, Shown<FrontendPage>>>(new Map());
const [tail, setTail] = createSignal(NO_LINES);
const [connection, setConnection] = createSignal<Connection>("connecting");
const [lostAt, setLostAt] = createSignal(0);
const [heardAt, setHeardAt] = createSignal(now());
const [served, setServed] = createSignal("");
const [version, setVersion] = createSignal<Version>();
const [watched, setWatched] = createSignal<{ readonly asked: number; readonly watched: number }>();

export {
  /** All nodes. */
  summary,
  /** The node whose tab is open. */
  node,
  /** The opened frontends. */
  pages,
  /** The lines of the log. */
  tail,
  /** How the connection is. */
  connection,
  /** Since when it is broken, by the server's clock. */
  lostAt,
  /** When the server was last heard, by its clock. */
  heardAt,
  /** The version that the stream comes from; another than the page's own after an upgrade. */
  served,
  /** The server. */
  version,
  /** How many of the asked-for heartbeats come. */
  watched,
};

/** The follower of this page. */
export const follower = new Follower(browser, {
  together: batch,
  changed: () => batch(publish),
  log: (name, epoch, lines) => setTail((before) => append(before, name, epoch, lines)),
  beats: takeBeats,
  hello(hello) {
    setServed(hello.version);
    setWatched(hello.beats);
    if (!version()) void learnVersion();
  },
  clock: setServerTime,
  heard: () => setHeardAt(serverTime()),
  connection(next) {
    if (next === "lost") setLostAt(now());
    setConnection(next);
  },
});

let published = new Map<string, Shown<FrontendPage>>();

function publish(): void {
  const shown = <T>(document: Shown<T>): Shown<T> => {
    const { value, standing, error } = document;
    return { value, standing, error };
  };
  setSummary(shown(follower.summary));
  setNode(follower.node ? shown(follower.node) : LOADING);
  const next = new Map<string, Shown<FrontendPage>>();
  let changed = follower.pages.size !== published.size;
  for (const [name, document] of follower.pages) {
    const before = published.get(name);
    const page = before && same(before, document) ? before : shown(document);
    changed ||= page !== before;
    next.set(name, page);
  }
  if (!changed) return;
  published = next;
  setPages(next);
}

async function learnVersion(): Promise<void> {
  try {
    setVersion((await browser.get("api/version")) as Version);
  } catch {
    // The next hello asks again.
  }
}

/** Begins; the result ends it. */
export function startLive(): () => void {
  const stop = startClock(
    () => follower.watch(),
    () => follower.renew(),
  );
  return () => {
    stop();
    follower.close();
  };
}

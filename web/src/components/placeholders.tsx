// Placeholders for a page without rows: loading, not found, none. Each shows what is awaited or what to do.
import { Match, Show, Switch, type JSX } from "solid-js";
import { plural } from "../lib/format";
import type { Summary } from "../sync/contract";
import { connection, type DocumentState } from "../store/server-state";
import { route, setQuery, toggleFlagFilter } from "../store/location";
import { Command } from "./command";

/** Shown before the first state. */
export function LoadingPage(props: { readonly document: DocumentState<unknown> | undefined }): JSX.Element {
  return (
    <div class="empty">
      <Switch fallback={<p class="empty-title">Loading the state of all nodes…</p>}>
        <Match when={connection() === "lost" || props.document?.status === "failing"}>
          <p class="empty-title">The dashboard's server does not respond.</p>
          <p class="dim">Retrying. {props.document?.error}</p>
        </Match>
        <Match when={connection() === "connecting"}>
          <p class="empty-title">Connecting…</p>
        </Match>
      </Switch>
    </div>
  );
}

/** Shown for a part that is being fetched. */
export function LoadingLine(props: {
  readonly document: DocumentState<unknown> | undefined;
  readonly subject: string;
}): JSX.Element {
  return (
    <p class="dim loading-line">
      <Switch fallback={`Loading ${props.subject}…`}>
        <Match when={props.document?.status === "missing"}>There is no {props.subject}.</Match>
        <Match when={props.document?.status === "failing"}>
          Could not load {props.subject}: {props.document?.error}. Retrying.
        </Match>
      </Switch>
    </p>
  );
}

/** Shown if no agent was found: the selector of the discovery, and a command to check it. */
export function FirstRun(props: { readonly summary: Summary }): JSX.Element {
  const discovery = () => props.summary.looked_for;
  return (
    <div class="empty first-run">
      <p class="empty-title">No maglevd found yet.</p>
      <p>
        Searched for pods labelled <code>{discovery().selector}</code> in{" "}
        <Show when={discovery().namespace} fallback="all namespaces">
          namespace <code>{discovery().namespace}</code>
        </Show>
        . This page shows them as soon as they exist.
      </p>
      <p>To list these pods:</p>
      <Command text={discovery().command} />
      <p class="dim">
        If the list is empty, the chart's DaemonSet is not installed there, or no node matches its selector.
      </p>
    </div>
  );
}

/** Shown if there are agents, but no frontends. */
export function NoFrontends(props: { readonly nodes: number }): JSX.Element {
  return (
    <div class="empty">
      <p class="empty-title">No frontends yet.</p>
      <p>{plural(props.nodes, "node")} ready to serve. A Frontend appears here as soon as it is applied.</p>
      <Command text="kubectl explain frontends.maglev.vpp.io.spec" />
    </div>
  );
}

/** Shown if the filter matches nothing. */
export function NothingMatches(props: { readonly total: number }): JSX.Element {
  const clear = () => {
    setQuery("");
    const { flag } = route();
    if (flag) toggleFlagFilter(flag);
  };
  return (
    <div class="empty">
      <p class="empty-title">No frontend matches the filter.</p>
      <p>
        {plural(props.total, "frontend")} hidden by the filter{" "}
        <button type="button" class="small" onClick={clear}>
          clear the filter
        </button>
      </p>
    </div>
  );
}

// The page without rows: loading, nothing found, nothing there. Each says what it waits for or what to do.
import { Match, Show, Switch, type JSX } from "solid-js";
import { plural } from "../lib/format";
import type { Summary } from "../sync/contract";
import { connection, type DocumentState } from "../store/server-state";
import { route, setQuery, toggleFlagFilter } from "../store/location";
import { Command } from "./command";

/** Before the first state is there. */
export function LoadingPage(props: { readonly document: DocumentState<unknown> | undefined }): JSX.Element {
  return (
    <div class="empty">
      <Switch fallback={<p class="empty-title">Fetching the state of all nodes…</p>}>
        <Match when={connection() === "lost" || props.document?.status === "failing"}>
          <p class="empty-title">The dashboard's server does not answer.</p>
          <p class="dim">Trying again. {props.document?.error}</p>
        </Match>
        <Match when={connection() === "connecting"}>
          <p class="empty-title">Connecting…</p>
        </Match>
      </Switch>
    </div>
  );
}

/** A part that is being fetched. */
export function LoadingLine(props: {
  readonly document: DocumentState<unknown> | undefined;
  readonly subject: string;
}): JSX.Element {
  return (
    <p class="dim loading-line">
      <Switch fallback={`Fetching ${props.subject}…`}>
        <Match when={props.document?.status === "missing"}>There is no {props.subject} any more.</Match>
        <Match when={props.document?.status === "failing"}>
          Could not fetch {props.subject}: {props.document?.error}. Trying again.
        </Match>
      </Switch>
    </p>
  );
}

/** No agent was found: where was looked, and how to look oneself. */
export function FirstRun(props: { readonly summary: Summary }): JSX.Element {
  const discovery = () => props.summary.looked_for;
  return (
    <div class="empty first-run">
      <p class="empty-title">No maglevd found yet.</p>
      <p>
        Looked for pods labelled <code>{discovery().selector}</code> in{" "}
        <Show when={discovery().namespace} fallback="all namespaces">
          namespace <code>{discovery().namespace}</code>
        </Show>
        . This page shows them as soon as they are there.
      </p>
      <p>What is there now:</p>
      <Command text={discovery().command} />
      <p class="dim">
        Nothing in that list: the chart's DaemonSet is not installed there, or no node matches its selector.
      </p>
    </div>
  );
}

/** There are agents, but no frontends. */
export function NoFrontends(props: { readonly nodes: number }): JSX.Element {
  return (
    <div class="empty">
      <p class="empty-title">No frontends yet.</p>
      <p>{plural(props.nodes, "node")} ready to serve. A Frontend appears here as soon as it is applied.</p>
      <Command text="kubectl explain frontends.maglev.vpp.io.spec" />
    </div>
  );
}

/** The filter leaves nothing. */
export function NothingMatches(props: { readonly total: number }): JSX.Element {
  const clear = () => {
    setQuery("");
    const { flag } = route();
    if (flag) toggleFlagFilter(flag);
  };
  return (
    <div class="empty">
      <p class="empty-title">Nothing matches.</p>
      <p>
        {plural(props.total, "frontend")} hidden by the filter{" "}
        <button type="button" class="small" onClick={clear}>
          clear it
        </button>
      </p>
    </div>
  );
}

// The header of the page: version, tabs, number of reporting nodes, time of the last contact, and switches.
import { For, Show, type JSX } from "solid-js";
import { fullTime } from "../lib/format";
import { byName } from "../lib/row-order";
import { nodeDisplayState } from "../lib/node-problems";
import { mode, openAdmin, adminSession, signOut } from "../store/admin";
import { summary, version } from "../store/server-state";
import { openTab, route } from "../store/location";
import { motion, setMotion, setTheme, setZone, theme, zone, type Theme } from "../store/preferences";
import { LastContact } from "./last-contact";
import { openHelp } from "./help";
import { Shape } from "./shape";

// Above this number nodes are chosen from a list.
const MAX_TABS = 12;

const THEMES: readonly [Theme, string][] = [
  ["system", "auto"],
  ["dark", "dark"],
  ["light", "light"],
];

export function Header(): JSX.Element {
  return (
    <header class="header">
      <h1 title={buildTooltip()}>
        maglev <span class="dim version">{versionLabel()}</span>
      </h1>
      <NodeTabs />
      <Show when={summary().value}>
        {(value) => (
          <Show when={value().totals.nodes > 0}>
            <p class="reporting" classList={{ "is-stale": value().totals.reporting < value().totals.nodes }}>
              {value().totals.reporting} of {value().totals.nodes} nodes reporting ·{" "}
              <span class="dim">
                <LastContact />
              </span>
            </p>
          </Show>
        )}
      </Show>
      <Switches />
    </header>
  );
}

function Switches(): JSX.Element {
  const next = () =>
    THEMES[(THEMES.findIndex(([candidate]) => candidate === theme()) + 1) % THEMES.length] ?? [
      "system",
      "auto",
    ];
  return (
    <div class="switches">
      <Show when={mode()}>
        <Show
          when={adminSession()}
          fallback={
            <button
              type="button"
              class="small"
              title="Sign in to make operator changes"
              onClick={() => openAdmin("sign-in")}
            >
              sign in
            </button>
          }
        >
          {(session) => (
            <button
              type="button"
              class="small"
              title={`signed in as ${session().who}`}
              aria-label={`sign out ${session().who}`}
              onClick={() => void signOut()}
            >
              sign out
            </button>
          )}
        </Show>
      </Show>
      <button
        type="button"
        class="small"
        title="Show times in UTC or in local time"
        aria-label={zone() === "utc" ? "UTC: switch to local time" : "local time: switch to UTC"}
        onClick={() => setZone(zone() === "utc" ? "local" : "utc")}
      >
        {zone() === "utc" ? "UTC" : "local"}
      </button>
      <button
        type="button"
        class="small"
        title="Colour scheme: system, dark or light"
        aria-label={`${THEMES.find(([candidate]) => candidate === theme())?.[1] ?? ""} colours: change`}
        onClick={() => setTheme(next()[0])}
      >
        {THEMES.find(([serverInfo]) => serverInfo === theme())?.[1]}
      </button>
      <button
        type="button"
        class="small"
        title="Pause heartbeats, flashes and the events panel. States stay live."
        aria-pressed={motion() === "paused"}
        onClick={togglePause}
      >
        {motion() === "paused" ? "paused" : "pause"}
      </button>
      <button type="button" class="small" aria-label="Help: keys and states (?)" onClick={openHelp}>
        ?
      </button>
    </div>
  );
}

/** Pauses or resumes motion. */
export function togglePause(): void {
  setMotion(motion() === "paused" ? "running" : "paused");
}

/** The nodes in the order of their tabs. */
export function tabs(): string[] {
  return Object.keys(summary().value?.nodes ?? {}).sort(byName);
}

function NodeTabs(): JSX.Element {
  return (
    <nav class="tabs" aria-label="Nodes">
      <TabLink node={null} />
      <Show when={tabs().length <= MAX_TABS}>
        <For each={tabs()}>{(node) => <TabLink node={node} />}</For>
      </Show>
      <select
        classList={{ always: tabs().length > MAX_TABS }}
        aria-label="Node"
        onChange={(event) => openTab(event.currentTarget.value || null)}
      >
        <option value="" selected={route().node === null}>
          All nodes
        </option>
        <For each={tabs()}>
          {(node) => (
            <option value={node} selected={route().node === node}>
              {`${node} (${nodeState(node).label})`}
            </option>
          )}
        </For>
      </select>
    </nav>
  );
}

function TabLink(props: { readonly node: string | null }): JSX.Element {
  const chosen = () => route().node === props.node;
  return (
    <button
      type="button"
      class="tab"
      aria-current={chosen() ? "page" : undefined}
      title={props.node === null ? "All nodes" : `${props.node}: ${nodeState(props.node).label}`}
      onClick={() => openTab(props.node)}
    >
      <Show when={props.node} fallback="All nodes">
        {(node) => (
          <>
            <Shape state={nodeState(node()).state} />
            <span class="visually-hidden">{nodeState(node()).label}: </span>
            {node()}
          </>
        )}
      </Show>
    </button>
  );
}

function nodeState(node: string) {
  const head = summary().value?.nodes[node];
  return head ? nodeDisplayState(head) : ({ state: "unknown", label: "unknown" } as const);
}

function versionLabel(): string {
  const serverInfo = version();
  return serverInfo ? `v${serverInfo.version} ${serverInfo.commit.slice(0, 7)}` : "";
}

function buildTooltip(): string {
  const serverInfo = version();
  if (!serverInfo) return "";
  const built =
    serverInfo.build_date === undefined
      ? ""
      : `built ${fullTime(Date.parse(serverInfo.build_date), zone())}, `;
  return `${built}this replica started ${fullTime(Date.parse(serverInfo.started), zone())}`;
}

// The head of the page: version, tabs, how many nodes report and how old that is, and the switches.
import { For, Show, type JSX } from "solid-js";
import { exact } from "../lib/format";
import { byName } from "../lib/row-order";
import { nodeState } from "../lib/node-problems";
import { mode, openAdmin, signedIn, signOut } from "../store/admin";
import { summary, version } from "../store/server-state";
import { openTab, place } from "../store/location";
import { motion, setMotion, setTheme, setZone, theme, zone, type Theme } from "../store/preferences";
import { Heard } from "./last-contact";
import { openHelp } from "./help";
import { Shape } from "./shape";

// More nodes than these are chosen from a list.
const MOST_TABS = 12;

const THEMES: readonly [Theme, string][] = [
  ["system", "auto"],
  ["dark", "dark"],
  ["light", "light"],
];

/** The head. */
export function Header(): JSX.Element {
  return (
    <header class="header">
      <h1 title={builtWords()}>
        maglev <span class="dim version">{versionWords()}</span>
      </h1>
      <Tabs />
      <Show when={summary().value}>
        {(value) => (
          <Show when={value().totals.nodes > 0}>
            <p class="reporting" classList={{ "is-stale": value().totals.reporting < value().totals.nodes }}>
              {value().totals.reporting} of {value().totals.nodes} nodes reporting ·{" "}
              <span class="dim">
                <Heard />
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
    THEMES[(THEMES.findIndex(([of]) => of === theme()) + 1) % THEMES.length] ?? ["system", "auto"];
  return (
    <div class="switches">
      <Show when={mode()}>
        <Show
          when={signedIn()}
          fallback={
            <button
              type="button"
              class="small"
              title="To change things by hand"
              onClick={() => openAdmin("sign-in")}
            >
              sign in
            </button>
          }
        >
          {(of) => (
            <button
              type="button"
              class="small"
              title={`signed in as ${of().who}`}
              aria-label={`sign out ${of().who}`}
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
        title="Times in UTC or in local time"
        aria-label={zone() === "utc" ? "UTC: switch to local time" : "local time: switch to UTC"}
        onClick={() => setZone(zone() === "utc" ? "local" : "utc")}
      >
        {zone() === "utc" ? "UTC" : "local"}
      </button>
      <button
        type="button"
        class="small"
        title="Colours: as the system, dark, or light"
        aria-label={`${THEMES.find(([of]) => of === theme())?.[1] ?? ""} colours: switch`}
        onClick={() => setTheme(next()[0])}
      >
        {THEMES.find(([of]) => of === theme())?.[1]}
      </button>
      <button
        type="button"
        class="small"
        title="Stops heartbeats, flashes and the tail of events. States stay live."
        aria-pressed={motion() === "paused"}
        onClick={togglePause}
      >
        {motion() === "paused" ? "paused" : "pause"}
      </button>
      <button type="button" class="small" aria-label="Keys and meanings (?)" onClick={openHelp}>
        ?
      </button>
    </div>
  );
}

/** Pauses what moves, or lets it go on. */
export function togglePause(): void {
  setMotion(motion() === "paused" ? "running" : "paused");
}

/** The nodes in the order of their tabs. */
export function tabs(): string[] {
  return Object.keys(summary().value?.nodes ?? {}).sort(byName);
}

function Tabs(): JSX.Element {
  return (
    <nav class="tabs" aria-label="Nodes">
      <TabLink node={null} />
      <Show when={tabs().length <= MOST_TABS}>
        <For each={tabs()}>{(node) => <TabLink node={node} />}</For>
      </Show>
      <select
        classList={{ always: tabs().length > MOST_TABS }}
        aria-label="Node"
        onChange={(event) => openTab(event.currentTarget.value || null)}
      >
        <option value="" selected={place().node === null}>
          All nodes
        </option>
        <For each={tabs()}>
          {(node) => (
            <option value={node} selected={place().node === node}>
              {`${node} (${stateOf(node).word})`}
            </option>
          )}
        </For>
      </select>
    </nav>
  );
}

function TabLink(props: { readonly node: string | null }): JSX.Element {
  const chosen = () => place().node === props.node;
  return (
    <button
      type="button"
      class="tab"
      aria-current={chosen() ? "page" : undefined}
      title={props.node === null ? "All nodes" : `${props.node}: ${stateOf(props.node).word}`}
      onClick={() => openTab(props.node)}
    >
      <Show when={props.node} fallback="All nodes">
        {(node) => (
          <>
            <Shape of={stateOf(node()).state} />
            <span class="unseen">{stateOf(node()).word}: </span>
            {node()}
          </>
        )}
      </Show>
    </button>
  );
}

function stateOf(node: string) {
  const head = summary().value?.nodes[node];
  return head ? nodeState(head) : ({ state: "unknown", word: "gone" } as const);
}

function versionWords(): string {
  const of = version();
  return of ? `v${of.version} ${of.commit.slice(0, 7)}` : "";
}

function builtWords(): string {
  const of = version();
  if (!of) return "";
  const built = of.build_date === undefined ? "" : `built ${exact(Date.parse(of.build_date), zone())}, `;
  return `${built}this replica started ${exact(Date.parse(of.started), zone())}`;
}

// The help: keys, and the meanings of shapes and states.
import { createSignal, For, Show, type JSX } from "solid-js";
import type { DisplayState } from "../lib/display-state";
import type { PathKind } from "../lib/path";
import { PathGlyph } from "./path-mark";
import { StateLabel } from "./shape";

const KEYS = [
  ["/", "filter"],
  ["j  k", "next and previous row"],
  ["Enter", "open or close the row"],
  ["1 – 9", "tabs: all nodes, then the nodes in order"],
  ["p", "pause heartbeats, flashes and the events panel; states stay live"],
  ["Esc", "leave the filter, or close this help"],
  ["?", "this help"],
] as const;

const STATES: readonly [DisplayState, string][] = [
  ["up", "serves traffic"],
  ["down", "serves no traffic: users are affected"],
  ["standby", "serves traffic from another pool than the first"],
  ["unknown", "no probe result yet"],
  ["paused", "accepts no new flows"],
  ["disabled", "has no flows"],
  ["mixed", "nodes differ"],
  ["stale", "hatched: not reporting, last known state"],
  ["waiting", "not ready yet"],
  ["rejected", "rejected, held or failed"],
];

const PATHS: readonly [PathKind, string][] = [
  ["ok", "PathOK: the VIP answers through the tunnel"],
  ["failing", "PathTimeout, PathRefused or MtuTooSmall: packets to the VIP are lost"],
  ["unknown", "not known: Unknown or Unable"],
];

const [isOpen, setIsOpen] = createSignal(false);

/** Opens the help. */
export function openHelp(): void {
  setIsOpen(true);
}

/** The help as a dialog. */
export function Help(): JSX.Element {
  return (
    <Show when={isOpen()}>
      <dialog
        class="help"
        aria-label="Keys and states"
        ref={(dialog) => queueMicrotask(() => dialog.showModal())}
        onClose={() => setIsOpen(false)}
        onClick={(event) => {
          if (event.target === event.currentTarget) event.currentTarget.close();
        }}
      >
        <form method="dialog">
          <h2>Keys</h2>
          <dl>
            <For each={KEYS}>
              {([key, meaning]) => (
                <>
                  <dt>
                    <kbd>{key}</kbd>
                  </dt>
                  <dd>{meaning}</dd>
                </>
              )}
            </For>
          </dl>
          <h2>States</h2>
          <dl>
            <For each={STATES}>
              {([state, meaning]) => (
                <>
                  <dt>
                    <StateLabel state={state} />
                  </dt>
                  <dd>{meaning}</dd>
                </>
              )}
            </For>
          </dl>
          <h2>Path of a VIP's packets to a backend</h2>
          <dl>
            <For each={PATHS}>
              {([kind, meaning]) => (
                <>
                  <dt>
                    <PathGlyph kind={kind} />
                  </dt>
                  <dd>{meaning}</dd>
                </>
              )}
            </For>
          </dl>
          <p class="dim">
            Red: users are affected now. Amber: they will be at the next failure. Values flash for a second
            when they change. The order of rows is held while you point at the table.
          </p>
          <button type="submit">close</button>
        </form>
      </dialog>
    </Show>
  );
}

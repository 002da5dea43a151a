// Keys, and what shapes and words mean.
import { createSignal, For, Show, type JSX } from "solid-js";
import type { DisplayState } from "../lib/display-state";
import { StateLabel } from "./shape";

const KEYS = [
  ["/", "filter"],
  ["j  k", "next, previous row"],
  ["Enter", "open or close the row"],
  ["1 – 9", "tabs: all nodes, then the nodes in order"],
  ["p", "pause heartbeats, flashes and the tail of events; states stay live"],
  ["Esc", "leave the filter or this help"],
  ["?", "this help"],
] as const;

const STATES: readonly [DisplayState, string][] = [
  ["up", "serves"],
  ["down", "serves nobody: users notice"],
  ["standby", "serves from another pool than the first"],
  ["unknown", "no probe has answered yet"],
  ["paused", "takes no new flows"],
  ["disabled", "takes no flows"],
  ["mixed", "nodes differ"],
  ["stale", "hatched: not heard of, the last that was known"],
  ["waiting", "not there yet"],
  ["rejected", "refused, held or failed"],
];

const [isOpen, setIsOpen] = createSignal(false);

/** Shows the help. */
export function openHelp(): void {
  setIsOpen(true);
}

/** The help, as a dialog. */
export function Help(): JSX.Element {
  return (
    <Show when={isOpen()}>
      <dialog
        class="help"
        aria-label="Keys and meanings"
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
          <p class="dim">
            Red is what hurts users now, amber what will. Numbers flash for a second when they change. A row's
            order stays while you point at the table.
          </p>
          <button type="submit">close</button>
        </form>
      </dialog>
    </Show>
  );
}

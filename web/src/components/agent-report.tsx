// What nodes say: once where they agree; where they differ, each value with who says so.
import { For, type JSX } from "solid-js";
import type { Said as Values } from "../lib/pools";
import { Flash } from "./flash";

const MOST_NAMED = 3;

/** The values; `of` shows one. */
export function Said<T>(props: {
  readonly values: Values<T>;
  readonly of: (value: T) => JSX.Element;
}): JSX.Element {
  const key = () => props.values.map(({ value, nodes }) => `${String(value)} ${nodes.join()}`).join();
  return (
    <Flash value={key()} class="said">
      <For each={props.values} fallback="–">
        {({ value, nodes }, index) => (
          <span class="said-one" classList={{ differs: props.values.length > 1 }} title={nodes.join(", ")}>
            {props.of(value)}
            {props.values.length > 1 && index() > 0 ? <span class="dim"> on {named(nodes)}</span> : ""}
          </span>
        )}
      </For>
    </Flash>
  );
}

function named(nodes: readonly string[]): string {
  return nodes.length <= MOST_NAMED ? nodes.join(", ") : `${nodes.length} nodes`;
}

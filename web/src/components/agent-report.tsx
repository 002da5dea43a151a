// A value as reported by the agents: once if they agree, otherwise each value with its nodes.
import { For, type JSX } from "solid-js";
import { listNodes } from "../lib/format";
import type { ReportedValues as Values } from "../lib/pools";
import { Flash } from "./flash";

export function AgentReport<T>(props: {
  readonly values: Values<T>;
  readonly render: (value: T) => JSX.Element;
}): JSX.Element {
  const reportKey = () => props.values.map(({ value, nodes }) => `${String(value)} ${nodes.join()}`).join();
  return (
    <Flash value={reportKey()} class="reported">
      <For each={props.values} fallback="–">
        {({ value, nodes }, index) => (
          <span
            class="reported-value"
            classList={{ differs: props.values.length > 1 }}
            title={nodes.join(", ")}
          >
            {props.render(value)}
            {props.values.length > 1 && index() > 0 ? <span class="dim"> on {listNodes(nodes)}</span> : ""}
          </span>
        )}
      </For>
    </Flash>
  );
}

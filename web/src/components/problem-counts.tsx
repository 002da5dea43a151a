// Counts of problems, each of which is a filter. One sentence replaces them while there is no problem.
import { For, Show, type JSX } from "solid-js";
import { largestShare } from "../lib/disagreement";
import { formatPacketRate } from "../lib/format";
import { COUNTS, type ProblemCount } from "../lib/problem-counts";
import type { Summary } from "../sync/contract";
import { toggleFlagFilter, route } from "../store/location";
import { Flash } from "./flash";
import { LastContact } from "./last-contact";
import { Shape } from "./shape";

export function ProblemCounts(props: { readonly summary: Summary }): JSX.Element {
  // An active filter stays visible when its count becomes zero.
  const showSummary = () => props.summary.healthy !== undefined && route().flag === null;
  const traffic = () => Object.values(props.summary.nodes).reduce((sum, { rate }) => sum + rate, 0);
  return (
    <Show
      when={showSummary()}
      fallback={
        <div class="problem-counts" role="group" aria-label="Problems: select a count to filter">
          <For each={COUNTS}>
            {(count) => (
              <Tile
                count={count}
                value={props.summary.strip[count.flag]}
                share={count.flag === "disagree" ? largestShare(props.summary) : ""}
              />
            )}
          </For>
        </div>
      }
    >
      <p class="all-up">
        <Shape state={props.summary.totals.vips > 0 ? "up" : "unknown"} />
        <span>{props.summary.healthy}</span>
        <span class="dim">
          {formatPacketRate(traffic())} · <LastContact />
        </span>
      </p>
    </Show>
  );
}

function Tile(props: {
  readonly count: ProblemCount;
  readonly value: number;
  /** Part of the buckets of a table; `""` for none. */
  readonly share: string;
}): JSX.Element {
  const active = () => route().flag === props.count.flag;
  return (
    <button
      type="button"
      class="tile"
      classList={{ [props.count.severity]: props.value > 0, zero: props.value === 0 }}
      aria-pressed={active()}
      title={props.count.tooltip}
      onClick={() => toggleFlagFilter(props.count.flag)}
    >
      <Shape state={props.count.shape} />
      <Flash value={props.value} class="tile-number">
        {props.value}
      </Flash>
      <span class="tile-words">{props.count.label(props.value)}</span>
      <Show when={props.share}>
        <span class="tile-share">{props.share}</span>
      </Show>
    </button>
  );
}

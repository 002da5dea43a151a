// What is wrong, counted; each count filters. When nothing is, one sentence.
import { For, Show, type JSX } from "solid-js";
import { rate } from "../lib/format";
import { allWell, COUNTS, wellSentence, type Count } from "../lib/problem-counts";
import type { Summary } from "../sync/contract";
import { filterBy, place } from "../store/location";
import { Flash } from "./flash";
import { Heard } from "./last-contact";
import { Shape } from "./shape";

/** The strip. */
export function StripOfCounts(props: { readonly summary: Summary }): JSX.Element {
  // A filter that is on stays visible when its count goes to zero.
  const sentence = () => allWell(props.summary) && place().show === null;
  const traffic = () => Object.values(props.summary.nodes).reduce((sum, { rate }) => sum + rate, 0);
  return (
    <Show
      when={sentence()}
      fallback={
        <div class="strip" role="group" aria-label="What is wrong; each count filters">
          <For each={COUNTS}>{(count) => <Tile count={count} value={props.summary.strip[count.flag]} />}</For>
        </div>
      }
    >
      <p class="well">
        <Shape of={props.summary.totals.vips > 0 ? "up" : "unknown"} />
        <span>{wellSentence(props.summary)}</span>
        <span class="dim">
          {rate(traffic())} · <Heard />
        </span>
      </p>
    </Show>
  );
}

function Tile(props: { readonly count: Count; readonly value: number }): JSX.Element {
  const on = () => place().show === props.count.flag;
  return (
    <button
      type="button"
      class="tile"
      classList={{ [props.count.weight]: props.value > 0, zero: props.value === 0 }}
      aria-pressed={on()}
      title={props.count.meaning}
      onClick={() => filterBy(props.count.flag)}
    >
      <Shape of={props.count.shape} />
      <Flash value={props.value} class="tile-number">
        {props.value}
      </Flash>
      <span class="tile-words">{props.count.words(props.value)}</span>
    </button>
  );
}

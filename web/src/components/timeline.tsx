// The states of backends over time, one lane each. Up is a thin line and down a full bar, so that colour is not the
// only difference.
import { createMemo, createSignal, For, type JSX } from "solid-js";
import { timeOfDay } from "../lib/format";
import { segments, type Segment } from "../lib/timeline";
import type { BackendDetail } from "../sync/contract";
import { now } from "../store/clock";
import { zone } from "../store/preferences";

const SPANS = [
  ["15 m", 15 * 60_000],
  ["2 h", 2 * 3600_000],
  ["24 h", 24 * 3600_000],
] as const;
const WIDTH = 1000;
const LANE_HEIGHT = 12;
const STEP_MS = 5000;

const [timeSpan, setTimeSpan] = createSignal<(typeof SPANS)[number]>(SPANS[0]);

/** A backend and its details on one or more nodes. */
export interface Lane {
  readonly name: string;
  readonly details: readonly BackendDetail[];
}

export function Timeline(props: { readonly lanes: readonly Lane[] }): JSX.Element {
  return (
    <section class="block timeline" aria-label="Timeline of transitions">
      <h4>
        Timeline
        <span class="choice" role="group" aria-label="Time span">
          <For each={SPANS}>
            {(option) => (
              <button
                type="button"
                class="small"
                aria-pressed={timeSpan() === option}
                onClick={() => setTimeSpan(option)}
              >
                {option[0]}
              </button>
            )}
          </For>
        </span>
      </h4>
      <For each={props.lanes}>{(lane) => <LaneRow lane={lane} />}</For>
      <div class="timeline-axis dim">
        <span>{timeSpan()[0]} ago</span>
        <span>now</span>
      </div>
    </section>
  );
}

function LaneRow(props: { readonly lane: Lane }): JSX.Element {
  // Advances in steps: redrawing every second would be wasted work.
  const end = createMemo(() => Math.ceil(now() / STEP_MS) * STEP_MS);
  const laneSegments = createMemo(() => segments(props.lane.details, end() - timeSpan()[1], end()));
  const x = (at: number) => ((at - (end() - timeSpan()[1])) / timeSpan()[1]) * WIDTH;
  const description = () =>
    laneSegments()
      .map((segment) => `${segment.state} from ${timeOfDay(segment.from, zone())}`)
      .join(", ");
  return (
    <div class="lane">
      <span class="lane-name clip mono" title={props.lane.name}>
        {props.lane.name}
      </span>
      <svg
        viewBox={`0 0 ${WIDTH} ${LANE_HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={description() || "no known state"}
      >
        <For each={laneSegments()}>
          {(segment) => (
            <rect
              class={`fill-${segment.state}`}
              x={x(segment.from)}
              width={Math.max(2, x(segment.to) - x(segment.from))}
              y={LANE_HEIGHT - barHeight(segment)}
              height={barHeight(segment)}
            >
              <title>{`${segment.state} from ${timeOfDay(segment.from, zone())} to ${timeOfDay(segment.to, zone())}`}</title>
            </rect>
          )}
        </For>
      </svg>
    </div>
  );
}

function barHeight({ state }: Segment): number {
  if (state === "up") return 4;
  return state === "down" ? LANE_HEIGHT : 8;
}

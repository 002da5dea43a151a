// When backends were in which state, as lanes over the last minutes. Up is a thin line and down a full bar, so that
// colour is not all there is to see.
import { createMemo, createSignal, For, type JSX } from "solid-js";
import { clock } from "../lib/format";
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
const LANE = 12;
const STEP_MS = 5000;

const [span, setSpan] = createSignal<(typeof SPANS)[number]>(SPANS[0]);

/** One lane: a backend and what is known of it on the nodes in question. */
export interface Lane {
  readonly name: string;
  readonly details: readonly BackendDetail[];
}

/** The lanes. */
export function Timeline(props: { readonly lanes: readonly Lane[] }): JSX.Element {
  return (
    <section class="block timeline" aria-label="Timeline of transitions">
      <h4>
        Timeline
        <span class="choice" role="group" aria-label="Span of time">
          <For each={SPANS}>
            {(of) => (
              <button type="button" class="small" aria-pressed={span() === of} onClick={() => setSpan(of)}>
                {of[0]}
              </button>
            )}
          </For>
        </span>
      </h4>
      <For each={props.lanes}>{(lane) => <LaneLine lane={lane} />}</For>
      <div class="timeline-axis dim">
        <span>{span()[0]} ago</span>
        <span>now</span>
      </div>
    </section>
  );
}

function LaneLine(props: { readonly lane: Lane }): JSX.Element {
  // Moves in steps: a lane that is drawn anew every second would be work for nothing.
  const end = createMemo(() => Math.ceil(now() / STEP_MS) * STEP_MS);
  const parts = createMemo(() => segments(props.lane.details, end() - span()[1], end()));
  const x = (at: number) => ((at - (end() - span()[1])) / span()[1]) * WIDTH;
  const words = () =>
    parts()
      .map((of) => `${of.state} from ${clock(of.from, zone())}`)
      .join(", ");
  return (
    <div class="lane">
      <span class="lane-name clip mono" title={props.lane.name}>
        {props.lane.name}
      </span>
      <svg
        viewBox={`0 0 ${WIDTH} ${LANE}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={words() || "nothing known"}
      >
        <For each={parts()}>
          {(of) => (
            <rect
              class={`fill-${of.state}`}
              x={x(of.from)}
              width={Math.max(2, x(of.to) - x(of.from))}
              y={LANE - tallness(of)}
              height={tallness(of)}
            >
              <title>{`${of.state} from ${clock(of.from, zone())} to ${clock(of.to, zone())}`}</title>
            </rect>
          )}
        </For>
      </svg>
    </div>
  );
}

function tallness({ state }: Segment): number {
  if (state === "up") return 4;
  return state === "down" ? LANE : 8;
}

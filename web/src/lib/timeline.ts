// A backend's latest transitions as segments of time, on one node or over several.
import type { BackendDetail } from "../sync/contract";
import type { DisplayState } from "./display-state";

/** A period in one state; `mixed` where nodes differ. Times in milliseconds since the epoch. */
export interface Segment {
  readonly state: DisplayState;
  readonly from: number;
  readonly to: number;
}

/**
 * The segments from `start` to `now`. The time before the oldest known transition is left out, since the start of that
 * state is unknown.
 */
export function segments(nodes: readonly BackendDetail[], start: number, now: number): Segment[] {
  const lanes = nodes.map((detail) => lane(detail, start, now));
  const boundaries = new Set(lanes.flat().flatMap(({ from, to }) => [from, to]));
  const edges = [...boundaries].sort((a, b) => a - b);
  const result: Segment[] = [];
  for (let index = 0; index + 1 < edges.length; index++) {
    const [from = 0, to = 0] = edges.slice(index, index + 2);
    const states = new Set(
      lanes.flatMap((lane) => lane.find((segment) => segment.from <= from && to <= segment.to)?.state ?? []),
    );
    if (states.size === 0) continue;
    const [only] = states;
    const state: DisplayState = states.size === 1 && only ? only : "mixed";
    const last = result.at(-1);
    if (last?.state === state && last.to === from) result[result.length - 1] = { ...last, to };
    else result.push({ state, from, to });
  }
  return result;
}

function lane(detail: BackendDetail, start: number, now: number): Segment[] {
  const transitions = detail.history.map(({ to, at }) => ({ to, at: Date.parse(at) }));
  const result: Segment[] = [];
  const add = (state: string, from: number, to: number) => {
    const clippedFrom = Math.max(from, start);
    if (to > clippedFrom) result.push({ state: state as DisplayState, from: clippedFrom, to });
  };
  for (const [index, { to, at }] of transitions.entries()) add(to, at, transitions[index + 1]?.at ?? now);
  if (transitions.length === 0) add(detail.state, detail.since ? Date.parse(detail.since) : start, now);
  return result;
}

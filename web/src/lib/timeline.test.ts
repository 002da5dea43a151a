// Timelines of one node and of several.
import { describe, expect, it } from "vitest";
import type { BackendDetail, BackendState, PastTransition } from "../sync/contract";
import { segments } from "./timeline";

const T = Date.parse("2026-11-25T12:00:00Z");
const minute = 60_000;
const at = (minutes: number) => new Date(T + minutes * minute).toISOString();
const past = (from: BackendState, to: BackendState, minutes: number): PastTransition => ({
  from,
  to,
  at: at(minutes),
});
const detail = (history: PastTransition[], state = "up", since?: string) =>
  ({ history, state, ...(since === undefined ? {} : { since }) }) as unknown as BackendDetail;

describe("a timeline", () => {
  it("of one node has a segment per state, clipped to the time span", () => {
    const backend = detail([past("unknown", "up", -60), past("up", "down", -5), past("down", "up", -2)]);
    expect(segments([backend], T - 15 * minute, T)).toEqual([
      { state: "up", from: T - 15 * minute, to: T - 5 * minute },
      { state: "down", from: T - 5 * minute, to: T - 2 * minute },
      { state: "up", from: T - 2 * minute, to: T },
    ]);
  });

  it("starts at the oldest known transition", () => {
    const backend = detail([past("down", "up", -5)]);
    expect(segments([backend], T - 15 * minute, T)).toEqual([{ state: "up", from: T - 5 * minute, to: T }]);
  });

  it("without history shows the present state since its start", () => {
    expect(segments([detail([], "paused", at(-3))], T - 15 * minute, T)).toEqual([
      { state: "paused", from: T - 3 * minute, to: T },
    ]);
  });

  it("of several nodes is mixed where they differ", () => {
    const a = detail([past("unknown", "up", -20), past("up", "down", -6), past("down", "up", -2)]);
    const b = detail([past("unknown", "up", -20), past("up", "down", -5), past("down", "up", -2)]);
    expect(segments([a, b], T - 15 * minute, T).map(({ state }) => state)).toEqual([
      "up",
      "mixed",
      "down",
      "up",
    ]);
  });

  it("of no node is empty", () => {
    expect(segments([], T - 15 * minute, T)).toEqual([]);
  });
});

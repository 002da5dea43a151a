// Paths over several nodes.
import { describe, expect, it } from "vitest";
import type { PathDetail, PathState } from "../sync/contract";
import { pathKind, pathLabel, pathTooltip, summarizePath } from "./path";

const path = (state: PathState, minute = 0, detail?: string): PathDetail => ({
  state,
  since: `2026-11-30T16:0${minute}:00.000Z`,
  ...(detail === undefined ? {} : { detail }),
});

describe("a path over several nodes", () => {
  it("is absent without a path probe", () => {
    expect(summarizePath([])).toBeUndefined();
    expect(summarizePath([["node-a", undefined]])).toBeUndefined();
  });

  it("has the worst state, whatever the order of the nodes", () => {
    const worstFirst = ["PathTimeout", "PathRefused", "MtuTooSmall", "Unable", "Unknown", "PathOK"] as const;
    for (const [index, worst] of worstFirst.entries()) {
      const perNode = worstFirst.slice(index).map((state) => [state, path(state)] as const);
      expect(summarizePath(perNode)?.state).toBe(worst);
      expect(summarizePath([...perNode].reverse())?.state).toBe(worst);
    }
  });

  it("has the nodes of the worst state, and time and detail of the latest transition to it", () => {
    const summary = summarizePath([
      ["node-c", path("PathTimeout", 1, "older")],
      ["node-b", path("PathOK", 5)],
      ["node-a", path("PathTimeout", 3, "no answer")],
    ]);
    expect(summary).toEqual({
      state: "PathTimeout",
      nodes: ["node-a", "node-c"],
      differs: true,
      since: path("PathTimeout", 3).since,
      detail: "no answer",
    });
    expect(summary && pathLabel(summary)).toBe("PathTimeout on node-a, node-c");
  });

  it("names no nodes if all have the state", () => {
    const summary = summarizePath([
      ["node-a", path("PathRefused")],
      ["node-b", path("PathRefused")],
    ]);
    expect(summary && pathLabel(summary)).toBe("PathRefused");
  });

  it("names the nodes if others do not probe it", () => {
    const summary = summarizePath([
      ["node-a", path("Unable")],
      ["node-b", undefined],
    ]);
    expect(summary && pathLabel(summary)).toBe("Unable on node-a");
  });
});

describe("the display of a path", () => {
  it("differs between working, failing and unknown paths", () => {
    const kinds = (["PathOK", "PathTimeout", "PathRefused", "MtuTooSmall", "Unknown", "Unable"] as const).map(
      pathKind,
    );
    expect(kinds).toEqual(["ok", "failing", "failing", "failing", "unknown", "unknown"]);
  });

  it("has state, time, detail and the meaning for weights in the tooltip", () => {
    const tooltip = (detail: PathDetail) => {
      const summary = summarizePath([["node-a", detail]]);
      return summary && pathTooltip(summary, "utc").split("\n");
    };
    expect(tooltip(path("PathTimeout", 2, "no answer"))).toEqual([
      "VIP path: PathTimeout",
      "since 2026-11-30 16:02:00.000 UTC",
      "no answer",
      "In mode Report, weights do not follow the path.",
    ]);
    expect(tooltip(path("PathOK"))?.[2]).toBe("the VIP answers through the tunnel");
    expect(tooltip(path("Unknown"))?.[2]).toBe("no probe has finished yet");
  });
});

// Announcements, and the title of the page.
import { describe, expect, it } from "vitest";
import type { ProblemCounts, Summary } from "../sync/contract";
import { announcement, pageIcon, pageTitle } from "./problem-counts";

const zero: ProblemCounts = {
  down: 0,
  dropping: 0,
  silent: 0,
  standby: 0,
  disagree: 0,
  rejected: 0,
  sync: 0,
  backends_down: 0,
};
const summary = (strip: Partial<ProblemCounts>, totals: Partial<Summary["totals"]> = {}) =>
  ({
    strip: { ...zero, ...strip },
    totals: { vips: 42, backends: 128, nodes: 10, reporting: 10, ...totals },
  }) as Summary;

describe("the announcement", () => {
  it("lists the counts that changed", () => {
    expect(announcement(zero, { ...zero, down: 1, sync: 2 }, undefined)).toBe("1 VIP down, 2 sync errors");
    expect(announcement({ ...zero, down: 2 }, { ...zero, down: 1 }, undefined)).toBe("1 VIP down");
  });

  it("is empty at first and without a change", () => {
    expect(announcement(undefined, { ...zero, down: 1 }, undefined)).toBe("");
    expect(announcement({ ...zero, down: 1 }, { ...zero, down: 1 }, undefined)).toBe("");
  });

  it("is the sentence without problems once the last one has ended", () => {
    expect(announcement({ ...zero, backends_down: 1 }, zero, "Everything is up: 1 VIP")).toBe(
      "Everything is up: 1 VIP",
    );
    expect(announcement({ ...zero, down: 1 }, zero, undefined)).toBe("No problems");
  });
});

describe("the title and the icon", () => {
  it("show the worst count, or that the page is not live", () => {
    expect(pageTitle(undefined, true)).toBe("maglev");
    expect(pageTitle(summary({}), true)).toBe("maglev");
    expect(pageTitle(summary({ standby: 3, down: 2 }), true)).toBe("2 VIPs down · maglev");
    expect(pageTitle(summary({ down: 2 }), false)).toBe("not live · maglev");
    expect(pageTitle(summary({ backends_down: 2 }), true)).toBe("2 backends down · maglev");
    expect(pageIcon(summary({}), true)).toBe("icon.svg");
    expect(pageIcon(summary({ backends_down: 2 }), true)).toBe("icon-warning.svg");
    expect(pageIcon(summary({ standby: 3 }), true)).toBe("icon-warning.svg");
    expect(pageIcon(summary({ standby: 3, dropping: 1 }), true)).toBe("icon-critical.svg");
    expect(pageIcon(summary({}), false)).toBe("icon-unknown.svg");
  });
});

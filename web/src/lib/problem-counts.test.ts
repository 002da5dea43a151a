// The summary sentence, announcements, and the title of the page.
import { describe, expect, it } from "vitest";
import type { ProblemCounts, Summary } from "../sync/contract";
import { isHealthy, announcement, pageIcon, pageTitle, healthySummary } from "./problem-counts";

const zero: ProblemCounts = {
  down: 0,
  dropping: 0,
  silent: 0,
  standby: 0,
  disagree: 0,
  rejected: 0,
  sync: 0,
};
const summary = (strip: Partial<ProblemCounts>, totals: Partial<Summary["totals"]> = {}) =>
  ({
    strip: { ...zero, ...strip },
    totals: { vips: 42, backends: 128, nodes: 10, reporting: 10, ...totals },
  }) as Summary;

describe("the summary sentence", () => {
  it("is shown only if every count is zero and every node reports", () => {
    expect(isHealthy(summary({}))).toBe(true);
    expect(isHealthy(summary({ sync: 1 }))).toBe(false);
    expect(isHealthy(summary({}, { reporting: 9 }))).toBe(false);
    expect(isHealthy(summary({}, { nodes: 0, reporting: 0 }))).toBe(false);
    expect(healthySummary(summary({}))).toBe("Everything is up: 42 VIPs, 128 backends on 10 nodes");
  });

  it("does not claim that everything is up without frontends", () => {
    expect(healthySummary(summary({}, { vips: 0 }))).toBe("No frontends yet on 10 nodes");
  });
});

describe("the announcement", () => {
  it("lists the counts that changed", () => {
    expect(announcement(zero, { ...zero, down: 1, sync: 2 })).toBe("1 VIP down, 2 sync errors");
    expect(announcement({ ...zero, down: 2 }, { ...zero, down: 1 })).toBe("1 VIP down");
  });

  it("is empty at first and without a change", () => {
    expect(announcement(undefined, { ...zero, down: 1 })).toBe("");
    expect(announcement({ ...zero, down: 1 }, { ...zero, down: 1 })).toBe("");
  });

  it("reports that everything is up again", () => {
    expect(announcement({ ...zero, down: 1 }, zero)).toBe("Everything is up");
  });
});

describe("the title and the icon", () => {
  it("show the worst count, or that the page is not live", () => {
    expect(pageTitle(undefined, true)).toBe("maglev");
    expect(pageTitle(summary({}), true)).toBe("maglev");
    expect(pageTitle(summary({ standby: 3, down: 2 }), true)).toBe("2 VIPs down · maglev");
    expect(pageTitle(summary({ down: 2 }), false)).toBe("not live · maglev");
    expect(pageIcon(summary({}), true)).toBe("icon.svg");
    expect(pageIcon(summary({ standby: 3 }), true)).toBe("icon-warning.svg");
    expect(pageIcon(summary({ standby: 3, dropping: 1 }), true)).toBe("icon-critical.svg");
    expect(pageIcon(summary({}), false)).toBe("icon-unknown.svg");
  });
});

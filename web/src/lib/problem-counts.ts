// The counts of problems: their labels, announcements to screen readers, and the title and icon of the page. While there
// is no problem, the server's sentence replaces the counts.
import type { Flag, ProblemCounts, Summary } from "../sync/contract";
import type { DisplayState } from "./display-state";

export interface ProblemCount {
  readonly flag: Flag;
  readonly shape: DisplayState;
  /** `critical`: users are affected now; `warning`: they are at the next failure. */
  readonly severity: "critical" | "warning";
  /** The text after the number. */
  readonly label: (count: number) => string;
  readonly tooltip: string;
}

/** All counts in their order. */
export const COUNTS: readonly ProblemCount[] = [
  {
    flag: "down",
    shape: "down",
    severity: "critical",
    label: (count) => (count === 1 ? "VIP down" : "VIPs down"),
    tooltip: "VIPs that are down on at least one reporting node",
  },
  {
    flag: "dropping",
    shape: "dropping",
    severity: "critical",
    label: () => "dropping",
    tooltip: "VIPs whose packets are being dropped because no server is available",
  },
  {
    flag: "silent",
    shape: "stale",
    severity: "warning",
    label: (count) => (count === 1 ? "node silent" : "nodes silent"),
    tooltip: "Nodes that do not report, or have lost VPP",
  },
  {
    flag: "standby",
    shape: "standby",
    severity: "warning",
    label: () => "on standby",
    tooltip: "VIPs served by another pool than the first, or by their last backend",
  },
  {
    flag: "disagree",
    shape: "mixed",
    severity: "warning",
    label: (count) => (count === 1 ? "disagrees" : "disagree"),
    tooltip:
      "VIPs on which nodes have disagreed for more than 10 s, and the largest share of the buckets of a table that differ",
  },
  {
    flag: "rejected",
    shape: "rejected",
    severity: "warning",
    label: () => "rejected",
    tooltip: "Objects that are rejected, held or in conflict, and removals that are held",
  },
  {
    flag: "sync",
    shape: "rejected",
    severity: "warning",
    label: (count) => (count === 1 ? "sync error" : "sync errors"),
    tooltip: "VIPs that a node failed to program, and nodes whose last sync pass failed",
  },
  {
    flag: "backends_down",
    shape: "standby",
    severity: "warning",
    label: (count) => (count === 1 ? "backend down" : "backends down"),
    tooltip: "Backends that are down on at least one reporting node",
  },
];

/** The announcement of a change from `before` to `now`; `""` = none. `healthy` is the sentence without problems. */
export function announcement(
  before: ProblemCounts | undefined,
  now: ProblemCounts,
  healthy: string | undefined,
): string {
  if (!before) return "";
  const changed = COUNTS.filter(({ flag }) => before[flag] !== now[flag]);
  if (changed.length === 0) return "";
  if (COUNTS.every(({ flag }) => now[flag] === 0)) return healthy ?? "No problems";
  return changed.map(({ flag, label }) => `${now[flag]} ${label(now[flag])}`).join(", ");
}

/** The icon for the worst count. */
export function pageIcon(summary: Summary | undefined, live: boolean): string {
  if (!summary || !live) return "icon-unknown.svg";
  const [worst] = COUNTS.filter(({ flag }) => summary.strip[flag] > 0);
  return worst ? `icon-${worst.severity}.svg` : "icon.svg";
}

/** The title of the page. The problem comes first, since tabs of a browser are narrow. */
export function pageTitle(summary: Summary | undefined, live: boolean): string {
  if (!summary) return "maglev";
  if (!live) return "not live · maglev";
  const worst = COUNTS.find(({ flag }) => summary.strip[flag] > 0);
  return worst ? `${summary.strip[worst.flag]} ${worst.label(summary.strip[worst.flag])} · maglev` : "maglev";
}

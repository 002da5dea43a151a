// What the page says in one sentence: that all is well, or, for those who listen, what just became wrong.
import type { Flag, Strip, Summary } from "../sync/contract";
import { plural } from "./format";
import type { DisplayState } from "./display-state";

/** One count of the strip. */
export interface ProblemCount {
  readonly flag: Flag;
  readonly shape: DisplayState;
  /** `critical`: users notice now; `warning`: the next failure is noticed. */
  readonly severity: "critical" | "warning";
  /** The words after the number. */
  readonly label: (count: number) => string;
  /** What it counts, in full. */
  readonly tooltip: string;
}

/** The strip, in order. */
export const COUNTS: readonly ProblemCount[] = [
  {
    flag: "down",
    shape: "down",
    severity: "critical",
    label: (count) => (count === 1 ? "VIP down" : "VIPs down"),
    tooltip: "VIPs that are down on some reporting node",
  },
  {
    flag: "dropping",
    shape: "dropping",
    severity: "critical",
    label: () => "dropping",
    tooltip: "VIPs whose packets are dropped now: no server configured",
  },
  {
    flag: "silent",
    shape: "stale",
    severity: "warning",
    label: (count) => (count === 1 ? "node silent" : "nodes silent"),
    tooltip: "Nodes that do not report, or that lost VPP",
  },
  {
    flag: "standby",
    shape: "standby",
    severity: "warning",
    label: () => "on standby",
    tooltip: "VIPs whose active pool is not the first, or that hang on their last backend",
  },
  {
    flag: "disagree",
    shape: "mixed",
    severity: "warning",
    label: (count) => (count === 1 ? "disagrees" : "disagree"),
    tooltip: "VIPs about which nodes disagree for more than 10 s",
  },
  {
    flag: "rejected",
    shape: "rejected",
    severity: "warning",
    label: () => "rejected",
    tooltip: "Objects rejected, held or conflicted, and removals that are held",
  },
  {
    flag: "sync",
    shape: "rejected",
    severity: "warning",
    label: (count) => (count === 1 ? "sync error" : "sync errors"),
    tooltip: "VIPs that a node failed to program, and nodes whose last pass failed",
  },
];

/** Whether nothing is wrong and every node says so. */
export function isHealthy(summary: Summary): boolean {
  const { nodes, reporting } = summary.totals;
  return nodes > 0 && nodes === reporting && COUNTS.every(({ flag }) => summary.strip[flag] === 0);
}

/** "Everything is up: 42 VIPs, 128 backends on 10 nodes". */
export function healthySummary({ totals }: Summary): string {
  const { vips, backends, nodes } = totals;
  if (vips === 0) return `No frontends yet on ${plural(nodes, "node")}`;
  return `Everything is up: ${plural(vips, "VIP")}, ${plural(backends, "backend")} on ${plural(nodes, "node")}`;
}

/** What to say aloud when the counts go from `before` to `now`; `""` = nothing. */
export function announcement(before: Strip | undefined, now: Strip): string {
  if (!before) return "";
  const changed = COUNTS.filter(({ flag }) => before[flag] !== now[flag]);
  if (changed.length === 0) return "";
  if (COUNTS.every(({ flag }) => now[flag] === 0)) return "Everything is up";
  return changed.map(({ flag, label }) => `${now[flag]} ${label(now[flag])}`).join(", ");
}

/** The page's icon: as bad as the worst count. */
export function pageIcon(summary: Summary | undefined, live: boolean): string {
  if (!summary || !live) return "icon-unknown.svg";
  const [worst] = COUNTS.filter(({ flag }) => summary.strip[flag] > 0);
  return worst ? `icon-${worst.severity}.svg` : "icon.svg";
}

/** The page's title: what is wrong comes first, for tabs are narrow. */
export function pageTitle(summary: Summary | undefined, live: boolean): string {
  if (!summary) return "maglev";
  if (!live) return "not live · maglev";
  const worst = COUNTS.find(({ flag }) => summary.strip[flag] > 0);
  return worst ? `${summary.strip[worst.flag]} ${worst.label(summary.strip[worst.flag])} · maglev` : "maglev";
}

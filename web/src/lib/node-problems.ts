// Problems of a node, the worst first.
import type { NodeHeader } from "../sync/contract";
import { plural } from "./format";
import type { DisplayState } from "./display-state";

export interface NodeProblem {
  readonly shape: DisplayState;
  readonly label: string;
  readonly reason: string;
  readonly since: string | undefined;
}

/** All problems of a node; empty if it is healthy. */
export function nodeProblems(head: NodeHeader): NodeProblem[] {
  const problems: NodeProblem[] = [];
  const add = (shape: DisplayState, label: string, reason = "", since?: string) =>
    problems.push({ shape, label, reason, since });
  if (!head.reporting) add("stale", "silent", head.error ?? linkLabel(head), head.last_seen);
  else if (head.vpp === "lost") add("down", "VPP lost", head.not_ready);
  else if (!head.ready) add("waiting", "not ready", head.not_ready);
  for (const family of head.suspect) {
    add("unknown", `probe path suspect (${family})`, "all probes fail at once; weights are kept");
  }
  for (const { subject, until } of Object.values(head.holds)) {
    add("rejected", `${subject} held`, `until ${until.slice(11, 19)} UTC`);
  }
  if (head.failed_steps > 0) {
    add("rejected", `${plural(head.failed_steps, "step")} failed`, "in the last sync pass");
  }
  if (head.sync_error !== undefined) add("rejected", "sync error", head.sync_error);
  return problems;
}

/** The state of a node, for the shape on its tab. */
export function nodeDisplayState(head: NodeHeader): { state: DisplayState; label: string } {
  const [worst] = nodeProblems(head);
  if (worst) return { state: worst.shape, label: worst.label };
  return { state: "up", label: "reporting" };
}

function linkLabel({ link }: NodeHeader): string {
  return link === "connecting" ? "connecting" : "unreachable";
}

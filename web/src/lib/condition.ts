// Why a backend's weight is what it is, as shape and words.
import type { Member } from "../sync/contract";
import type { DisplayState } from "./display-state";

/** The shape of a condition. */
export function conditionState(condition: string): DisplayState {
  switch (condition) {
    case "up":
    case "down":
    case "paused":
    case "disabled":
      return condition;
    case "unreadable":
      return "rejected";
    default:
      return "unknown";
  }
}

const LABELS: Partial<Record<string, string>> & Record<Member["condition"], string> = {
  up: "up",
  down: "down",
  suspect: "in doubt",
  "never-known": "not known yet",
  unknown: "unknown",
  "check-missing": "no check",
  unreadable: "unreadable",
  paused: "paused",
  disabled: "disabled",
};

const TOOLTIPS: Partial<Record<Member["condition"], string>> = {
  suspect: "Its probes fail, and so did all others on the same path: nothing is known, the weight is kept",
  "never-known": "No probe has answered since the agent started: the weight is kept",
  "check-missing": "Its HealthCheck is missing or unreadable: not probed, the weight is kept",
  unreadable: "The Backend does not decode: it stays as VPP has it",
  paused: "No new flows; those it has stay. Not probed",
  disabled: "No flows at all. Not probed",
};

/** The words for a condition. */
export function conditionLabel(condition: string): string {
  return LABELS[condition] ?? condition;
}

/** What it means, for the tooltip. */
export function conditionTooltip(condition: string): string {
  return TOOLTIPS[condition as Member["condition"]] ?? "";
}

// The reason of a backend's weight, as state and text.
import type { Member } from "../sync/contract";
import type { DisplayState } from "./display-state";

/** The display state of a condition. */
export function conditionState(condition: string): DisplayState {
  switch (condition) {
    case "up":
    case "down":
    case "paused":
    case "disabled":
      return condition;
    case "path-down":
      return "down";
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
  "never-known": "no result yet",
  unknown: "unknown",
  "check-missing": "no check",
  unreadable: "unreadable",
  paused: "paused",
  disabled: "disabled",
  "path-down": "path down",
  "path-suspect": "path in doubt",
  "path-unknown": "path unknown",
};

const TOOLTIPS: Partial<Record<Member["condition"], string>> = {
  suspect: "All probes on the same path fail, so the state is unknown and the weight is kept",
  "never-known": "No probe has finished since the agent started; the weight is kept",
  "check-missing": "The HealthCheck is missing or invalid; the backend is not probed and the weight is kept",
  unreadable: "The Backend cannot be decoded; VPP keeps its configuration",
  paused: "No new flows; existing flows continue. Not probed",
  disabled: "No flows. Not probed",
  "path-down": "Probes succeed, but packets of the VIP do not reach the server, which the Frontend requires",
  "path-suspect": "No path works from this node, so the state is unknown and the weight is kept",
  "path-unknown": "The path of the VIP, which the Frontend requires, is not known; the weight is kept",
};

/** The label of a condition. */
export function conditionLabel(condition: string): string {
  return LABELS[condition] ?? condition;
}

/** The tooltip of a condition. */
export function conditionTooltip(condition: string): string {
  return TOOLTIPS[condition as Member["condition"]] ?? "";
}

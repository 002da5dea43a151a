// Texts of an operator change: its preview and its result.
import type { AdminState, ChangeReport, Preview } from "../sync/contract";

/** The text of a preview. */
export interface PreviewMessage {
  readonly text: string;
  /** The server refuses the change without force. */
  readonly requiresForce: boolean;
}

/** The label of the change to a state. */
export function actionLabel(state: AdminState): string {
  return { Enabled: "Enable", Paused: "Pause", Disabled: "Disable" }[state];
}

/** The effect of a state on flows. */
export function flowEffect(state: AdminState): string {
  return {
    Enabled: "receives traffic according to its health",
    Paused: "no new flows; existing flows continue",
    Disabled: "no flows; existing flows are flushed",
  }[state];
}

/** The effect on the Frontends that the change touches; `Preview.effects` has the effect on flows. */
export function previewMessage({ touches, leaves_unserved, nodes }: Preview): PreviewMessage {
  if (nodes === 0)
    return { text: "No agent responds, so the affected Frontends are unknown.", requiresForce: true };
  if (leaves_unserved.length > 0) {
    const alsoAffected = touches.filter((name) => !leaves_unserved.includes(name));
    const suffix = alsoAffected.length > 0 ? ` Also affects ${alsoAffected.join(", ")}.` : "";
    return {
      text: `Leaves ${leaves_unserved.join(", ")} without any effective weight.${suffix}`,
      requiresForce: true,
    };
  }
  if (touches.length === 0) return { text: "Affects no Frontend.", requiresForce: false };
  return { text: `Affects ${touches.join(", ")}.`, requiresForce: false };
}

/** The old and the new value. */
export function changeSummary(changed: ChangeReport): string {
  return changed.written
    ? `${changed.change}: ${changed.old} → ${changed.new}`
    : `${changed.change} is already ${changed.new}; nothing was written`;
}

/** The progress on the nodes. */
export function progressSummary({ in_effect_on, nodes, seconds }: ChangeReport): string {
  return `in effect on ${in_effect_on}/${nodes} nodes after ${seconds.toFixed(1)} s`;
}

/** Further remarks on the result. */
export function warnings({ taken_from, event_failed, pending }: ChangeReport): string[] {
  return [
    ...(taken_from.length > 0 ? [`taken over from ${taken_from.join(", ")}, which may revert it`] : []),
    ...(event_failed === undefined ? [] : [`the Kubernetes Event could not be written: ${event_failed}`]),
    ...Object.entries(pending).map(([node, reason]) => `${node}: ${reason}`),
  ];
}

/** Parses a weight; `undefined` if it is invalid. */
export function parseWeight(text: string): number | undefined {
  return /^\d{1,3}$/.test(text) && Number(text) <= 100 ? Number(text) : undefined;
}

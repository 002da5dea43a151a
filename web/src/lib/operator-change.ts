// A change by hand, in words: what it would touch, and what came of it.
import type { AdminState, ChangeResult, Preview } from "../sync/admin";

/** What a person reads before making a change. */
export interface PreviewMessage {
  readonly text: string;
  /** Whether it is refused unless forced. */
  readonly requiresForce: boolean;
}

/** The verb for a wanted state. */
export function actionLabel(state: AdminState): string {
  return { Enabled: "Enable", Paused: "Pause", Disabled: "Disable" }[state];
}

/** What it does to flows. */
export function flowEffect(state: AdminState): string {
  return {
    Enabled: "takes traffic as its health allows",
    Paused: "no new flows; those that it has stay",
    Disabled: "no flows: those that it has are flushed",
  }[state];
}

/** Names the Frontends that a change touches. */
export function previewMessage({ touches, leaves_unserved, nodes }: Preview): PreviewMessage {
  if (nodes === 0)
    return { text: "No agent answers: nobody knows what this would touch.", requiresForce: true };
  if (leaves_unserved.length > 0) {
    const alsoAffected = touches.filter((name) => !leaves_unserved.includes(name));
    const suffix = alsoAffected.length > 0 ? ` It touches ${alsoAffected.join(", ")} as well.` : "";
    return {
      text: `It leaves ${leaves_unserved.join(", ")} without any effective weight.${suffix}`,
      requiresForce: true,
    };
  }
  if (touches.length === 0) return { text: "It touches no Frontend.", requiresForce: false };
  return { text: `It touches ${touches.join(", ")}.`, requiresForce: false };
}

/** From what to what. */
export function changeSummary(changed: ChangeResult): string {
  return changed.written
    ? `${changed.change}: ${changed.old} → ${changed.new}`
    : `${changed.change} is ${changed.new} already: nothing was written`;
}

/** Who has it. */
export function progressSummary({ in_effect_on, nodes, seconds }: ChangeResult): string {
  return `in effect on ${in_effect_on}/${nodes} nodes after ${seconds.toFixed(1)} s`;
}

/** What else is to be told. */
export function warnings({ taken_from, event_failed, pending }: ChangeResult): string[] {
  return [
    ...(taken_from.length > 0 ? [`taken from ${taken_from.join(", ")}, which may put it back`] : []),
    ...(event_failed === undefined ? [] : [`its Kubernetes Event could not be written: ${event_failed}`]),
    ...Object.entries(pending).map(([node, reason]) => `${node}: ${reason}`),
  ];
}

/** The weight that was typed; `undefined` where it is none. */
export function parseWeight(text: string): number | undefined {
  return /^\d{1,3}$/.test(text) && Number(text) <= 100 ? Number(text) : undefined;
}

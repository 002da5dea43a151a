// A change by hand, in words: what it would touch, and what came of it.
import type { AdminState, Changed, Preview } from "../sync/admin";

/** What a person reads before making a change. */
export interface Confirmation {
  readonly text: string;
  /** Whether it is refused unless forced. */
  readonly hurts: boolean;
}

/** The verb for a wanted state. */
export function verb(state: AdminState): string {
  return { Enabled: "Enable", Paused: "Pause", Disabled: "Disable" }[state];
}

/** What it does to flows. */
export function meaning(state: AdminState): string {
  return {
    Enabled: "takes traffic as its health allows",
    Paused: "no new flows; those that it has stay",
    Disabled: "no flows: those that it has are flushed",
  }[state];
}

/** Names the Frontends that a change touches. */
export function confirmation({ touches, leaves_unserved, nodes }: Preview): Confirmation {
  if (nodes === 0) return { text: "No agent answers: nobody knows what this would touch.", hurts: true };
  if (leaves_unserved.length > 0) {
    const others = touches.filter((name) => !leaves_unserved.includes(name));
    const also = others.length > 0 ? ` It touches ${others.join(", ")} as well.` : "";
    return {
      text: `It leaves ${leaves_unserved.join(", ")} without any effective weight.${also}`,
      hurts: true,
    };
  }
  if (touches.length === 0) return { text: "It touches no Frontend.", hurts: false };
  return { text: `It touches ${touches.join(", ")}.`, hurts: false };
}

/** From what to what. */
export function written(changed: Changed): string {
  return changed.written
    ? `${changed.change}: ${changed.old} → ${changed.new}`
    : `${changed.change} is ${changed.new} already: nothing was written`;
}

/** Who has it. */
export function effect({ in_effect_on, nodes, seconds }: Changed): string {
  return `in effect on ${in_effect_on}/${nodes} nodes after ${seconds.toFixed(1)} s`;
}

/** What else is to be told. */
export function remarks({ taken_from, event_failed, pending }: Changed): string[] {
  return [
    ...(taken_from.length > 0 ? [`taken from ${taken_from.join(", ")}, which may put it back`] : []),
    ...(event_failed === undefined ? [] : [`its Kubernetes Event could not be written: ${event_failed}`]),
    ...Object.entries(pending).map(([node, why]) => `${node}: ${why}`),
  ];
}

/** The weight that was typed; `undefined` where it is none. */
export function weightOf(text: string): number | undefined {
  return /^\d{1,3}$/.test(text) && Number(text) <= 100 ? Number(text) : undefined;
}

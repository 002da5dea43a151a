// The order of the latest transitions.
import type { Named, TransitionDetail } from "../sync/contract";
import { byName } from "./row-order";

export const MAX_TRANSITIONS = 20;

/** The ids, newest first. Of two at the same time a frontend's comes before its backend's. */
export function newestTransitions(transitions: Named<TransitionDetail>): string[] {
  const at = (id: string) => transitions[id]?.at ?? "";
  const kind = (id: string) => (transitions[id]?.kind === "Frontend" ? 0 : 1);
  return Object.keys(transitions)
    .sort((a, b) => byName(at(b), at(a)) || kind(a) - kind(b) || byName(a, b))
    .slice(0, MAX_TRANSITIONS);
}

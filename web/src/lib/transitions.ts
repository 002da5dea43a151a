// The last transitions in the order they are shown.
import type { Named, Transition } from "../sync/contract";
import { byName } from "./row-order";

/** So many are shown. */
export const MAX_TRANSITIONS = 20;

/** Their ids, newest first; of two at the same time the frontend's before its backend's. */
export function newestTransitions(transitions: Named<Transition>): string[] {
  const at = (id: string) => transitions[id]?.at ?? "";
  const kind = (id: string) => (transitions[id]?.kind === "Frontend" ? 0 : 1);
  return Object.keys(transitions)
    .sort((a, b) => byName(at(b), at(a)) || kind(a) - kind(b) || byName(a, b))
    .slice(0, MAX_TRANSITIONS);
}

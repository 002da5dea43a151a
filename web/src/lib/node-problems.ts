// What is wrong with a node, the worst first.
import type { NodeHead } from "../sync/contract";
import { plural } from "./format";
import type { StateWord } from "./display-state";

/** One thing that is wrong. */
export interface Trouble {
  readonly shape: StateWord;
  readonly word: string;
  readonly why: string;
  readonly since: string | undefined;
}

/** All that is wrong; none for a node that is well. */
export function nodeTroubles(head: NodeHead): Trouble[] {
  const troubles: Trouble[] = [];
  const add = (shape: StateWord, word: string, why = "", since?: string) =>
    troubles.push({ shape, word, why, since });
  if (!head.reporting) add("stale", "silent", head.error ?? linkWords(head), head.last_seen);
  else if (head.vpp === "lost") add("down", "VPP lost", head.not_ready);
  else if (!head.ready) add("waiting", "not ready", head.not_ready);
  for (const family of head.suspect) {
    add("unknown", `probe path suspect (${family})`, "every probe fails at once: weights are kept");
  }
  for (const { removals, until } of Object.values(head.holds)) {
    add("rejected", `${plural(removals, "removal")} held`, `until ${until.slice(11, 19)} UTC`);
  }
  if (head.failed_steps > 0) {
    add("rejected", `${plural(head.failed_steps, "step")} failed`, "in the last pass");
  }
  if (head.sync_error !== undefined) add("rejected", "sync error", head.sync_error);
  return troubles;
}

/** A node's state for the dot of its tab. */
export function nodeState(head: NodeHead): { state: StateWord; word: string } {
  const [worst] = nodeTroubles(head);
  if (worst) return { state: worst.shape, word: worst.word };
  return { state: "up", word: "reporting" };
}

function linkWords({ link }: NodeHead): string {
  return link === "connecting" ? "connecting" : "unreachable";
}

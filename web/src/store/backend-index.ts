// Who uses which backend, learnt when somebody wants to know it: who filters, or opens a backend's page.
import { createEffect, createSignal, untrack } from "solid-js";
import { bestNode, membersOf, NO_MEMBERS } from "../lib/backend-index";
import { browser } from "../sync/browser";
import type { NodeState } from "../sync/contract";
import { now } from "./clock";
import { connection, summary } from "./server-state";
import { place } from "./location";

const OLD_MS = 30_000;

const [members, setMembers] = createSignal(NO_MEMBERS);
let learntAt = -Infinity;
let learning = false;

/** What is known of it. */
export { members };

/** Learns it while it is wanted, and anew when it is old. */
export function learnMembers(): void {
  createEffect(() => {
    const wanted = place().node === null && (place().query !== "" || place().backend !== null);
    if (!wanted || connection() !== "live" || now() - learntAt < OLD_MS || learning) return;
    const node = bestNode(untrack(summary).value?.nodes ?? {});
    if (node !== undefined) void learn(node);
  });
}

async function learn(node: string): Promise<void> {
  learning = true;
  try {
    const state = (await browser.get(`api/state/${encodeURIComponent(node)}`)) as NodeState;
    setMembers(membersOf(state));
  } catch {
    // Asked again when it would be old; until then rows are found by what they say themselves.
  }
  learntAt = untrack(now);
  learning = false;
}

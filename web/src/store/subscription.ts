// What the page asks the stream for, from where one is and what is on screen.
import { createEffect, createMemo, createSignal } from "solid-js";
import { MAX_OPEN } from "../lib/route";
import type { Subscription } from "../sync/subscription";
import { follower } from "./server-state";
import { backendIndex } from "./backend-index";
import { route } from "./location";
import { heartbeatFrontends } from "./visibility";

/** Whose log the events panel shows: the tab's node, or all. */
export const [logScope, setLogScope] = createSignal<"node" | "all">("node");

/** Whether it shows probes, too. */
export const [showProbes, setShowProbes] = createSignal(false);

/** Cards open on a node's tab whatever the address says: there are few, so all are. */
export const [openCards, setOpenCards] = createSignal<readonly string[]>([]);

function openFrontends(): readonly string[] {
  const { node, backend, open } = route();
  if (backend !== null) return (backendIndex().users.get(backend) ?? []).slice(0, MAX_OPEN);
  if (node === null) return open;
  return [...new Set([...open, ...openCards()])].slice(0, MAX_OPEN);
}

/** Keeps the stream at what the page shows. */
export function startSubscription(): void {
  const open = createMemo(openFrontends, [], { equals: (a, b) => a.join() === b.join() });
  createEffect(() => {
    const { node } = route();
    const subscription: Subscription = {
      node,
      open: open(),
      // Of all nodes and on every tab: who comes to a node sees what happened while the page was open.
      log: "all",
      beats: node === null ? [] : heartbeatFrontends(),
      debug: showProbes(),
    };
    follower.subscribe(subscription);
  });
}

// The subscription of the page, derived from the route and from what is on screen.
import { createEffect, createMemo, createSignal } from "solid-js";
import { MAX_OPEN } from "../lib/route";
import type { Subscription } from "../sync/subscription";
import { follower } from "./server-state";
import { backendIndex } from "./backend-index";
import { route } from "./location";
import { heartbeatFrontends } from "./visibility";

/** Scope of the events panel: the tab's node, or all nodes. */
export const [logScope, setLogScope] = createSignal<"node" | "all">("node");

/** True if the events panel includes probes. */
export const [showProbes, setShowProbes] = createSignal(false);

/** Cards on a node's tab that are always open because there are few. */
export const [openCards, setOpenCards] = createSignal<readonly string[]>([]);

function openFrontends(): readonly string[] {
  const { node, backend, open } = route();
  if (backend !== null) return (backendIndex().users.get(backend) ?? []).slice(0, MAX_OPEN);
  if (node === null) return open;
  return [...new Set([...open, ...openCards()])].slice(0, MAX_OPEN);
}

/** Keeps the stream at the present subscription. */
export function startSubscription(): void {
  const open = createMemo(openFrontends, [], { equals: (a, b) => a.join() === b.join() });
  createEffect(() => {
    const { node } = route();
    const subscription: Subscription = {
      node,
      open: open(),
      // Of all nodes on every tab, so that a node's tab shows what happened while the page was open.
      log: "all",
      beats: node === null ? [] : heartbeatFrontends(),
      debug: showProbes(),
    };
    follower.subscribe(subscription);
  });
}

// What the page asks the stream for, from where one is and what is on screen.
import { createEffect, createMemo, createSignal } from "solid-js";
import { MOST_OPEN } from "../lib/route";
import type { Wanted } from "../sync/subscription";
import { follower } from "./server-state";
import { members } from "./backend-index";
import { place } from "./location";
import { beating } from "./visibility";

/** Whose log the events panel shows: the tab's node, or all. */
export const [logOf, setLogOf] = createSignal<"node" | "all">("node");

/** Whether it shows probes, too. */
export const [probes, setProbes] = createSignal(false);

/** Cards open on a node's tab whatever the address says: there are few, so all are. */
export const [cards, setCards] = createSignal<readonly string[]>([]);

function opened(): readonly string[] {
  const { node, backend, open } = place();
  if (backend !== null) return (members().users.get(backend) ?? []).slice(0, MOST_OPEN);
  if (node === null) return open;
  return [...new Set([...open, ...cards()])].slice(0, MOST_OPEN);
}

/** Keeps the stream at what the page shows. */
export function follow(): void {
  const open = createMemo(opened, [], { equals: (a, b) => a.join() === b.join() });
  createEffect(() => {
    const { node } = place();
    const wanted: Wanted = {
      node,
      open: open(),
      // Of all nodes and on every tab: who comes to a node sees what happened while the page was open.
      log: "all",
      beats: node === null ? [] : beating(),
      debug: probes(),
    };
    follower.show(wanted);
  });
}

// What the page asks the stream for, from where one is and what is on screen.
import { createEffect, createMemo, createSignal } from "solid-js";
import { MOST_OPEN } from "../fold/route";
import type { Wanted } from "../live/wanted";
import { follower, summary } from "./live";
import { place } from "./place";
import { beating } from "./sight";

/** Whose log the events panel shows: the tab's node, or all. */
export const [logOf, setLogOf] = createSignal<"node" | "all">("node");

/** Whether it shows probes, too. */
export const [probes, setProbes] = createSignal(false);

/** Cards open on a node's tab whatever the address says: there are few, so all are. */
export const [cards, setCards] = createSignal<readonly string[]>([]);

/** The frontends that use a backend. */
export function usersOf(backend: string): string[] {
  const rows = summary().value?.rows ?? {};
  return Object.keys(rows).filter((name) => rows[name]?.backends?.[backend] !== undefined);
}

function opened(): readonly string[] {
  const { node, backend, open } = place();
  if (backend !== null) return usersOf(backend).sort().slice(0, MOST_OPEN);
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
      log: node === null ? null : logOf() === "all" ? "all" : node,
      beats: node === null ? [] : beating(),
      debug: probes(),
    };
    follower.show(wanted);
  });
}

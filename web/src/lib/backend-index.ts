// Who uses which backend, taken out of one node's state: rows do not say it.
import type { Named, NodeHead, NodeState } from "../sync/contract";
import { byName } from "./row-order";

/** Frontends with their backends. */
export interface Members {
  /** The frontends that use a backend, in order. */
  readonly users: ReadonlyMap<string, readonly string[]>;
  /** What is looked through for words: a frontend's backends and their addresses, in lower case. */
  readonly texts: ReadonlyMap<string, string>;
}

/** Nothing is known. */
export const NO_MEMBERS: Members = { users: new Map(), texts: new Map() };

/** The members of a node's frontends; a frontend is used by all nodes alike. */
export function membersOf(state: Pick<NodeState, "frontends">): Members {
  const users = new Map<string, string[]>();
  const texts = new Map<string, string>();
  for (const name of Object.keys(state.frontends).sort(byName)) {
    const words = new Set<string>();
    for (const { members } of Object.values(state.frontends[name]?.pools ?? {})) {
      for (const [backend, { address = "" }] of Object.entries(members)) {
        if (words.has(backend)) continue;
        words.add(backend).add(address);
        const others = users.get(backend);
        if (others) others.push(name);
        else users.set(backend, [name]);
      }
    }
    texts.set(name, [...words].join("\n").toLowerCase());
  }
  return { users, texts };
}

/** The node to ask: of those that report, the one that knows most; `undefined` where none does. */
export function bestNode(nodes: Named<NodeHead>): string | undefined {
  const reporting = Object.keys(nodes).filter((name) => nodes[name]?.reporting);
  const knows = (name: string) => nodes[name]?.frontends ?? 0;
  return reporting.sort((a, b) => knows(b) - knows(a) || byName(a, b))[0];
}

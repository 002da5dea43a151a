// Who uses which backend, taken out of one node's state: rows do not say it.
import type { Named, NodeHead, NodeState } from "../sync/contract";
import { byName } from "./row-order";

/** Frontends with their backends. */
export interface BackendIndex {
  /** The frontends that use a backend, in order. */
  readonly users: ReadonlyMap<string, readonly string[]>;
  /** What is looked through for words: a frontend's backends and their addresses, in lower case. */
  readonly searchTexts: ReadonlyMap<string, string>;
}

/** Nothing is known. */
export const EMPTY_BACKEND_INDEX: BackendIndex = { users: new Map(), searchTexts: new Map() };

/** The members of a node's frontends; a frontend is used by all nodes alike. */
export function buildBackendIndex(state: Pick<NodeState, "frontends">): BackendIndex {
  const users = new Map<string, string[]>();
  const searchTexts = new Map<string, string>();
  for (const name of Object.keys(state.frontends).sort(byName)) {
    const searchWords = new Set<string>();
    for (const { members } of Object.values(state.frontends[name]?.pools ?? {})) {
      for (const [backend, { address = "" }] of Object.entries(members)) {
        if (searchWords.has(backend)) continue;
        searchWords.add(backend).add(address);
        const otherUsers = users.get(backend);
        if (otherUsers) otherUsers.push(name);
        else users.set(backend, [name]);
      }
    }
    searchTexts.set(name, [...searchWords].join("\n").toLowerCase());
  }
  return { users, searchTexts };
}

/** The node to ask: of those that report, the one that knows most; `undefined` where none does. */
export function bestNode(nodes: Named<NodeHead>): string | undefined {
  const reporting = Object.keys(nodes).filter((name) => nodes[name]?.reporting);
  const frontendCount = (name: string) => nodes[name]?.frontends ?? 0;
  return reporting.sort((a, b) => frontendCount(b) - frontendCount(a) || byName(a, b))[0];
}

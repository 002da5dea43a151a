// Index from backends to frontends, built from one node's state since rows do not list backends.
import type { Named, NodeHeader, NodePage } from "../sync/contract";
import { byName } from "./row-order";

export interface BackendIndex {
  /** The frontends that use a backend, in order. */
  readonly users: ReadonlyMap<string, readonly string[]>;
  /** The text to search by frontend: its backends and their addresses, in lower case. */
  readonly searchTexts: ReadonlyMap<string, string>;
}

export const EMPTY_BACKEND_INDEX: BackendIndex = { users: new Map(), searchTexts: new Map() };

/** Builds the index. Every node has the same members. */
export function buildBackendIndex(state: Pick<NodePage, "frontends">): BackendIndex {
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

/** The reporting node with the most frontends; `undefined` if no node reports. */
export function bestNode(nodes: Named<NodeHeader>): string | undefined {
  const reporting = Object.keys(nodes).filter((name) => nodes[name]?.reporting);
  const frontendCount = (name: string) => nodes[name]?.frontends ?? 0;
  return reporting.sort((a, b) => frontendCount(b) - frontendCount(a) || byName(a, b))[0];
}

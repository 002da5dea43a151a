// Many nodes that say the same of a frontend are one line; those that differ are named.
import type { Named, NodeCut, NodeHead } from "../sync/contract";
import { said } from "./pools";
import { reportWord } from "./program-status";

/** Up to so many nodes each has its line. */
export const MOST_LINES = 16;

/** Nodes with a line of their own, and those that say what most say. */
export interface Lines {
  readonly own: readonly string[];
  readonly alike: readonly string[];
}

/** Sorts the nodes of `names`, which are in order. */
export function lines(
  frontend: string,
  names: readonly string[],
  cuts: Named<NodeCut>,
  heads: Named<NodeHead>,
): Lines {
  if (names.length <= MOST_LINES) return { own: names, alike: [] };
  const [most] = said(names.map((node) => [node, textOf(frontend, cuts[node], heads[node])]));
  const alike = new Set(most && most.nodes.length > 1 ? most.nodes : []);
  return { own: names.filter((node) => !alike.has(node)), alike: [...alike] };
}

function textOf(frontend: string, cut: NodeCut | undefined, head: NodeHead | undefined): string {
  const detail = cut?.frontends[frontend];
  if (!cut || !detail) return "does not have it";
  const states = Object.values(detail.pools).flatMap(({ members }) =>
    Object.keys(members).map((backend) => `${backend} ${cut.backends[backend]?.state ?? ""}`),
  );
  const { state, standing, active_pool = "" } = detail;
  return [head?.reporting ?? false, state, standing, active_pool, reportWord(detail), ...states].join("\n");
}

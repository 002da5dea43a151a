// Groups nodes on which a frontend has an identical state; the others are listed one by one.
import type { Named, FrontendParts, NodeHeader } from "../sync/contract";
import { groupByValue } from "./pools";
import { programStatus } from "./program-status";

/** Up to this number every node has a row of its own. */
export const MAX_NODE_ROWS = 16;

/** Nodes with a row of their own, and the largest group of identical ones. */
export interface NodeGroups {
  readonly distinct: readonly string[];
  readonly identical: readonly string[];
}

/** Groups the nodes of `names`, keeping their order. */
export function groupNodes(
  frontend: string,
  names: readonly string[],
  cuts: Named<FrontendParts>,
  heads: Named<NodeHeader>,
): NodeGroups {
  if (names.length <= MAX_NODE_ROWS) return { distinct: names, identical: [] };
  const [largest] = groupByValue(names.map((node) => [node, fingerprint(frontend, cuts[node], heads[node])]));
  const majority = new Set(largest && largest.nodes.length > 1 ? largest.nodes : []);
  return { distinct: names.filter((node) => !majority.has(node)), identical: [...majority] };
}

function fingerprint(frontend: string, cut: FrontendParts | undefined, head: NodeHeader | undefined): string {
  const detail = cut?.frontends[frontend];
  if (!cut || !detail) return "missing";
  const states = Object.values(detail.pools).flatMap(({ members }) =>
    Object.keys(members).map((backend) => `${backend} ${cut.backends[backend]?.state ?? ""}`),
  );
  const { state, standing, active_pool = "" } = detail;
  return [head?.reporting ?? false, state, standing, active_pool, programStatus(detail), ...states].join(
    "\n",
  );
}

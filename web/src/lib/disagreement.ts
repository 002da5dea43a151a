// The differences between nodes about a frontend: their share of the new-flow table, and the nodes that differ.
import type { Disagreement, Summary } from "../sync/contract";
import { plural } from "./format";

// Named nodes; the others are counted.
const MAX_NAMED = 5;

/** A share of a table in percent: `33.1 %`. */
export function formatShare(percent: number): string {
  return `${percent.toFixed(1)} %`;
}

/** The share beside the count of frontends that nodes disagree about; `""` if no table differs. */
export function largestShare({ differing_percent }: Pick<Summary, "differing_percent">): string {
  return differing_percent === undefined ? "" : formatShare(differing_percent);
}

/** The sentence about a frontend that nodes disagree about. */
export function disagreementSentence({ percent, nodes, majority }: Disagreement): string {
  if (nodes.length === 0) return "Nodes differ about the states or weights of backends";
  const buckets = `${formatShare(percent)} of the buckets`;
  const names = nodes.length <= MAX_NAMED ? nodes : nodes.slice(0, MAX_NAMED);
  const more = nodes.length - names.length;
  const list = more > 0 ? `${names.join(", ")} and ${plural(more, "more node")}` : names.join(", ");
  return majority
    ? `The new-flow table differs from that of most nodes in ${buckets} on ${list}`
    : `The new-flow tables differ in ${buckets} between ${list}`;
}

// A frontend's cells: per node its state and how far the node is with it, in one word each.
import type { Named, NodeHead } from "../sync/contract";
import type { StateWord } from "./display-state";

/** A cell taken apart. */
export interface Cell {
  readonly node: string;
  /** The shape and colour. */
  readonly state: StateWord;
  /** Does not report: drawn hatched, and left out of counts. */
  readonly stale: boolean;
  /** What it says, "down, Failed". */
  readonly word: string;
}

/** The cells of a row in the order of the nodes. */
export function cellsOf(cells: Named<string>, nodes: Named<NodeHead>): Cell[] {
  return Object.keys(cells)
    .sort()
    .map((node) => {
      const stale = !(nodes[node]?.reporting ?? false);
      const word = (cells[node] ?? "").replace(" ", ", ");
      return {
        node,
        state: stateOf(cells[node] ?? ""),
        stale,
        word: stale ? `${word}, not reporting` : word,
      };
    });
}

function stateOf(cell: string): StateWord {
  const [state, result] = cell.split(" ");
  if (state === "withdrawn" || result === "Failed" || result === "Held") {
    return state === "down" ? "down" : "rejected";
  }
  if (result === "Pending" && state !== "down") return "waiting";
  return state === "up" || state === "down" || state === "standby" ? state : "unknown";
}

/** How many cells say the same, most first: "8 up · 1 down · 1 silent". */
export function tally(cells: readonly Cell[]): { word: string; state: StateWord; count: number }[] {
  const counts = new Map<string, { word: string; state: StateWord; count: number }>();
  for (const { state, stale } of cells) {
    const word = stale ? "silent" : state;
    const entry = counts.get(word) ?? { word, state: stale ? "stale" : state, count: 0 };
    entry.count += 1;
    counts.set(word, entry);
  }
  return [...counts.values()].sort((a, b) => b.count - a.count);
}

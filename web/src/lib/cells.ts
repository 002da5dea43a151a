// The cells of a frontend's row: its state on each node, and the progress of programming.
import type { Named, NodeHeader } from "../sync/contract";
import type { DisplayState } from "./display-state";

/** A parsed cell. */
export interface Cell {
  readonly node: string;
  /** Shape and colour. */
  readonly state: DisplayState;
  /** The node does not report: drawn hatched, and excluded from counts. */
  readonly stale: boolean;
  /** Text: "down, Failed". */
  readonly label: string;
}

/** The cells of a row in the order of the nodes. */
export function parseCells(cells: Named<string>, nodes: Named<NodeHeader>): Cell[] {
  return Object.keys(cells)
    .sort()
    .map((node) => {
      const stale = !(nodes[node]?.reporting ?? false);
      const label = (cells[node] ?? "").replace(" ", ", ");
      return {
        node,
        state: cellState(cells[node] ?? ""),
        stale,
        label: stale ? `${label}, not reporting` : label,
      };
    });
}

function cellState(cell: string): DisplayState {
  const [state, result] = cell.split(" ");
  if (state === "withdrawn" || result === "Failed" || result === "Held") {
    return state === "down" ? "down" : "rejected";
  }
  if (result === "Pending" && state !== "down") return "waiting";
  return state === "up" || state === "down" || state === "standby" ? state : "unknown";
}

/** Counts cells by state, most frequent first: "8 up · 1 down · 1 silent". */
export function countStates(cells: readonly Cell[]): { label: string; state: DisplayState; count: number }[] {
  const counts = new Map<string, { label: string; state: DisplayState; count: number }>();
  for (const { state, stale } of cells) {
    const label = stale ? "silent" : state;
    const entry = counts.get(label) ?? { label, state: stale ? "stale" : state, count: 0 };
    entry.count += 1;
    counts.set(label, entry);
  }
  return [...counts.values()].sort((a, b) => b.count - a.count);
}

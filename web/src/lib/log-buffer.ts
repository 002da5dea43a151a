// The lines of the agents' logs that the page keeps: the newest of them, each once, in the order they came.
import type { AsOf, Named } from "../sync/contract";
import type { Line } from "../sync/message";

/** A line and where it is from. */
export interface LogLine {
  readonly node: string;
  readonly line: Line;
  /** All of it in one string, for the text filter. */
  readonly text: string;
}

/** The lines kept. */
export interface Tail {
  readonly lines: readonly LogLine[];
  /** How many came in all; what `lines` lacks of them is forgotten. */
  readonly count: number;
  /** The last number that came of each node: lines come in order, and again when a stream is resumed. */
  readonly last: Named<AsOf>;
}

/** So many are kept. */
export const MOST_LINES = 2000;

/** Nothing came yet. */
export const NO_LINES: Tail = { lines: [], count: 0, last: {} };

/** The tail with further lines of one node; lines that came before are left out. */
export function append(tail: Tail, node: string, epoch: string, lines: readonly Line[]): Tail {
  const before = tail.last[node];
  let seq = before?.epoch === epoch ? before.seq : -1;
  const added: LogLine[] = [];
  for (const line of lines) {
    // Probes have no number and are never sent again.
    if (line.seq !== undefined) {
      if (line.seq <= seq) continue;
      seq = line.seq;
    }
    added.push({ node, line, text: textOf(node, line) });
  }
  if (added.length === 0) return tail;
  const last = { ...tail.last, [node]: { epoch, seq } };
  return { lines: [...tail.lines, ...added].slice(-MOST_LINES), count: tail.count + added.length, last };
}

/** The lines of a node, or of all, that hold every word. */
export function chosen(tail: Tail, node: string | null, words: readonly string[]): readonly LogLine[] {
  if (node === null && words.length === 0) return tail.lines;
  return tail.lines.filter(
    (line) => (node === null || line.node === node) && words.every((word) => line.text.includes(word)),
  );
}

/** What a line is about, for its colour. */
export type LineKind = "add" | "remove" | "weight" | "trouble" | "transition" | "other";

/** The kind of a line. */
export function kindOf(line: Line): LineKind {
  if (line.level === "warn" || line.level === "error") return "trouble";
  if (line.name.endsWith("-added") || line.name.endsWith("-recreate")) return "add";
  if (line.name.endsWith("-removed")) return "remove";
  if (line.name.endsWith("-weight-updated")) return "weight";
  return line.name.endsWith("-transition") ? "transition" : "other";
}

function textOf(node: string, line: Line): string {
  const attributes = line.attributes.map(([key, value]) => `${key}=${value}`).join(" ");
  return `${node} ${line.level} ${line.name} ${attributes}`.toLowerCase();
}

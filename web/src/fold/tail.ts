// The lines of the agents' logs that the page keeps: the newest of them, each once, in the order they came.
import type { Line } from "../live/message";

/** A line and where it is from. */
export interface LogLine {
  /** The same for the same line, however often it is sent. */
  readonly key: string;
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
}

/** So many are kept. */
export const MOST_LINES = 2000;

/** Nothing came yet. */
export const NO_LINES: Tail = { lines: [], count: 0 };

/** The tail with further lines of one node; lines that it has are left out. */
export function append(tail: Tail, node: string, epoch: string, lines: readonly Line[]): Tail {
  const has = new Set(tail.lines.slice(-MOST_LINES).map(({ key }) => key));
  const added: LogLine[] = [];
  for (const [index, line] of lines.entries()) {
    const number = line.seq === undefined ? `probe ${tail.count + index}` : String(line.seq);
    const key = `${node} ${epoch} ${number} ${line.name}`;
    if (has.has(key)) continue;
    has.add(key);
    added.push({ key, node, line, text: textOf(node, line) });
  }
  if (added.length === 0) return tail;
  return { lines: [...tail.lines, ...added].slice(-MOST_LINES), count: tail.count + added.length };
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

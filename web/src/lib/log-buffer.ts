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
export interface LogBuffer {
  readonly lines: readonly LogLine[];
  /** How many came in all; what `lines` lacks of them is forgotten. */
  readonly count: number;
  /** The last number that came of each node: lines come in order, and again when a stream is resumed. */
  readonly lastReceived: Named<AsOf>;
}

/** So many are kept. */
export const MAX_LOG_LINES = 2000;

/** Nothing came yet. */
export const EMPTY_LOG: LogBuffer = { lines: [], count: 0, lastReceived: {} };

/** The tail with further lines of one node; lines that came before are left out. */
export function appendLines(log: LogBuffer, node: string, epoch: string, lines: readonly Line[]): LogBuffer {
  const lastReceived = log.lastReceived[node];
  let seq = lastReceived?.epoch === epoch ? lastReceived.seq : -1;
  const added: LogLine[] = [];
  for (const line of lines) {
    // Probes have no number and are never sent again.
    if (line.seq !== undefined) {
      if (line.seq <= seq) continue;
      seq = line.seq;
    }
    added.push({ node, line, text: lineText(node, line) });
  }
  if (added.length === 0) return log;
  const received = { ...log.lastReceived, [node]: { epoch, seq } };
  return {
    lines: [...log.lines, ...added].slice(-MAX_LOG_LINES),
    count: log.count + added.length,
    lastReceived: received,
  };
}

/** The lines of a node, or of all, that hold every word. */
export function filterLines(
  log: LogBuffer,
  node: string | null,
  terms: readonly string[],
): readonly LogLine[] {
  if (node === null && terms.length === 0) return log.lines;
  return log.lines.filter(
    (line) => (node === null || line.node === node) && terms.every((term) => line.text.includes(term)),
  );
}

/** What a line is about, for its colour. */
export type LineKind = "add" | "remove" | "weight" | "problem" | "transition" | "other";

/** The kind of a line. */
export function lineKind(line: Line): LineKind {
  if (line.level === "warn" || line.level === "error") return "problem";
  if (line.name.endsWith("-added") || line.name.endsWith("-recreate")) return "add";
  if (line.name.endsWith("-removed")) return "remove";
  if (line.name.endsWith("-weight-updated")) return "weight";
  return line.name.endsWith("-transition") ? "transition" : "other";
}

function lineText(node: string, line: Line): string {
  const attributes = line.attributes.map(([key, value]) => `${key}=${value}`).join(" ");
  return `${node} ${line.level} ${line.name} ${attributes}`.toLowerCase();
}

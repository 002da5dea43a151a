// Buffer of the agents' log lines: the newest ones, each once, in order of arrival.
import type { Position, Line, Named } from "../sync/contract";

/** A line and its node. */
export interface LogLine {
  readonly node: string;
  readonly line: Line;
  /** The whole line as text in lower case, for the filter. */
  readonly text: string;
}

export interface LogBuffer {
  readonly lines: readonly LogLine[];
  /** Number of received lines, including dropped ones. */
  readonly count: number;
  /** Last received number by node. Lines arrive in order, and again after a resumed stream. */
  readonly lastReceived: Named<Position>;
}

/** Capacity of the buffer. */
export const MAX_LOG_LINES = 2000;

export const EMPTY_LOG: LogBuffer = { lines: [], count: 0, lastReceived: {} };

/** Appends lines of one node. Lines that were received before are ignored. */
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

/** The lines of a node, or of all nodes, that contain every term. */
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

/** Class of a line, which sets its colour. */
export type LineKind = "add" | "remove" | "weight" | "problem" | "transition" | "other";

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

// Compares positions in the agents' events. Numbers are comparable within one epoch only; epochs have no order.
import type { Position, Positions } from "../sync/contract";

/**
 * True if a document was fetched too early and lacks events from before the stream. It must be fetched again.
 */
export function isOlderThanHello(
  document: Positions,
  hello: Positions,
  reporting: (node: string) => boolean,
): boolean {
  return Object.entries(hello).some(([node, atHello]) => {
    const fetched = document[node];
    if (!fetched || !reporting(node)) return false;
    return fetched.epoch !== atHello.epoch || fetched.seq < atHello.seq;
  });
}

/** True if the document includes all of a message. */
export function isCovered(message: Positions | undefined, fetched: Positions): boolean {
  if (!message) return false;
  const entries = Object.entries(message);
  if (entries.length === 0) return false;
  return entries.every(([node, at]) => isIn(at, fetched[node]));
}

function isIn(at: Position, fetched: Position | undefined): boolean {
  return fetched?.epoch === at.epoch && at.seq <= fetched.seq;
}

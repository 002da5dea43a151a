// Compares positions in the agents' events. Numbers are comparable within one epoch only; epochs have no order.
import type { AsOf, AsOfs } from "../sync/contract";

/**
 * True if a document was fetched too early and lacks events from before the stream. It must be fetched again.
 */
export function isOlderThanHello(
  document: AsOfs,
  hello: AsOfs,
  reporting: (node: string) => boolean,
): boolean {
  return Object.entries(hello).some(([node, atHello]) => {
    const fetched = document[node];
    if (!fetched || !reporting(node)) return false;
    return fetched.epoch !== atHello.epoch || fetched.seq < atHello.seq;
  });
}

/** True if the document includes all of a message. */
export function isCovered(message: AsOfs | undefined, fetched: AsOfs): boolean {
  if (!message) return false;
  const entries = Object.entries(message);
  if (entries.length === 0) return false;
  return entries.every(([node, at]) => isIn(at, fetched[node]));
}

function isIn(at: AsOf, fetched: AsOf | undefined): boolean {
  return fetched?.epoch === at.epoch && at.seq <= fetched.seq;
}

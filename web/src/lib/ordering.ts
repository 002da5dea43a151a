// Which messages a fetched document has in it already, and whether it was fetched too early. An agent's numbers are
// compared within one epoch; an epoch is only ever equal to another or not.
import type { AsOf, AsOfs } from "../sync/contract";

/** Whether a document lacks something that happened before the stream began: it must be fetched again. */
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

/** Whether all that a message tells is in the document already. */
export function isCovered(message: AsOfs | undefined, fetched: AsOfs): boolean {
  if (!message) return false;
  const entries = Object.entries(message);
  if (entries.length === 0) return false;
  return entries.every(([node, at]) => isIn(at, fetched[node]));
}

function isIn(at: AsOf, fetched: AsOf | undefined): boolean {
  return fetched?.epoch === at.epoch && at.seq <= fetched.seq;
}

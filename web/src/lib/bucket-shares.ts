// How a VIP's buckets are shared out among its backends: the bar of a card.
import type { FrontendDetail } from "../sync/contract";
import { inOrder } from "./pools";

/** One backend's part of the bar. */
export interface Share {
  readonly backend: string;
  readonly buckets: number;
  /** Of all buckets, 0 to 1. */
  readonly part: number;
  /** Where it begins, 0 to 1. */
  readonly begins: number;
}

/** The parts in the order of the pools; a backend in two pools has one. Empty where VPP has not told, or has none. */
export function shares(frontend: FrontendDetail): Share[] {
  const buckets = new Map<string, number>();
  const seen = new Set<string>();
  for (const [, pool] of inOrder(frontend.pools)) {
    for (const [backend, member] of inOrder(pool.members)) {
      // One address is one server in VPP, whatever it is called.
      const address = member.address ?? backend;
      if (member.buckets === undefined || member.buckets === 0 || seen.has(address)) continue;
      seen.add(address);
      buckets.set(backend, member.buckets);
    }
  }
  const total = [...buckets.values()].reduce((sum, count) => sum + count, 0);
  let begins = 0;
  return [...buckets].map(([backend, count]) => {
    const share = { backend, buckets: count, part: count / total, begins };
    begins += share.part;
    return share;
  });
}

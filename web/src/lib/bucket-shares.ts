// Shares of a VIP's buckets by backend, for the bar of a card.
import type { FrontendDetail } from "../sync/contract";
import { inOrder } from "./pools";

/** One backend's share. */
export interface BucketShare {
  readonly backend: string;
  readonly buckets: number;
  /** Fraction of all buckets, 0 to 1. */
  readonly fraction: number;
  /** Position of the share in the bar, 0 to 1. */
  readonly start: number;
}

/**
 * The shares in the order of the pools; a backend in two pools has one. Empty if VPP has not reported buckets, or has
 * none.
 */
export function bucketShares(frontend: FrontendDetail): BucketShare[] {
  const buckets = new Map<string, number>();
  const seenAddresses = new Set<string>();
  for (const [, pool] of inOrder(frontend.pools)) {
    for (const [backend, member] of inOrder(pool.members)) {
      // VPP has one server per address.
      const address = member.address ?? backend;
      if (member.buckets === undefined || member.buckets === 0 || seenAddresses.has(address)) continue;
      seenAddresses.add(address);
      buckets.set(backend, member.buckets);
    }
  }
  const total = [...buckets.values()].reduce((sum, count) => sum + count, 0);
  let start = 0;
  return [...buckets].map(([backend, count]) => {
    const share = { backend, buckets: count, fraction: count / total, start };
    start += share.fraction;
    return share;
  });
}

// The usage of VPP's sticky tables, as text.
import type { Named, StickyTableDetail } from "../sync/contract";

export interface StickyTableUsage {
  /** "thread 1: 1,705 of 4,096 flows (41 %)". */
  readonly text: string;
  readonly filling: boolean;
}

/** The usage of each thread's table, in the order of the threads. */
export function stickyTableUsage(tables: Named<StickyTableDetail>): StickyTableUsage[] {
  const byThread = Object.entries(tables).sort(([a], [b]) => Number(a) - Number(b));
  return byThread.map(([thread, { entries, capacity, filling }]) => {
    const percent = capacity > 0 ? Math.floor((entries * 100) / capacity) : 0;
    const [used, all] = [entries, capacity].map((count) => count.toLocaleString("en"));
    return { text: `thread ${thread}: ${used} of ${all} flows (${percent} %)`, filling };
  });
}

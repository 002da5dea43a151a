// A frontend's imbalance: the share of the traffic that its servers carry, against their share of the buckets.
import type { FrontendDetail, FrontendParts, MemberTraffic, Named } from "../sync/contract";
import { inOrder } from "./pools";

/** Packets per second and server below which single flows decide, and not the buckets. */
const MIN_RATE = 10;

/** The imbalance of a frontend, or the reason why it cannot be computed. */
export type Imbalance = Measured | { readonly unknown: string };

/** The server that carries most in proportion to its buckets. */
export interface Measured {
  readonly backend: string;
  /** The carried share, divided by the share of the buckets; 1 is balanced. */
  readonly ratio: number;
  /** Share of the packets, 0 to 1. */
  readonly carried: number;
  /** Share of the buckets, 0 to 1; over several nodes, weighted by the nodes' packets. */
  readonly expected: number;
}

interface Server {
  readonly backend: string;
  readonly buckets: number;
  readonly traffic: MemberTraffic | undefined;
}

/**
 * The imbalance over the nodes of `cuts`. Servers without buckets are ignored: they carry the rest of their flows.
 */
export function imbalance(frontend: string, cuts: Named<FrontendParts>): Imbalance {
  const carried = new Map<string, number>();
  const expected = new Map<string, number>();
  let total = 0;
  for (const { frontends } of Object.values(cuts)) {
    const servers = serversWithBuckets(frontends[frontend]);
    const buckets = servers.reduce((sum, server) => sum + server.buckets, 0);
    const rates: number[] = [];
    for (const { backend, traffic } of servers) {
      if (!traffic) return { unknown: `VPP does not report the traffic of ${backend}` };
      if (traffic.vips > 1)
        return { unknown: `other VIPs share the address of ${backend}, and VPP counts by address` };
      rates.push(traffic.packets.rate);
    }
    const rate = rates.reduce((sum, rate) => sum + rate, 0);
    total += rate;
    for (const [index, server] of servers.entries()) {
      add(carried, server.backend, rates[index] ?? 0);
      add(expected, server.backend, (rate * server.buckets) / buckets);
    }
  }
  if (carried.size === 0) return { unknown: "no backend has buckets" };
  if (total < MIN_RATE * carried.size) return { unknown: "too little traffic" };
  const measured = [...expected]
    .filter(([, share]) => share > 0)
    .map(([backend, share]) => {
      const rate = carried.get(backend) ?? 0;
      return { backend, ratio: rate / share, carried: rate / total, expected: share / total };
    });
  return measured.reduce((most, server) => (server.ratio > most.ratio ? server : most));
}

/** One server per address, since VPP has one. */
function serversWithBuckets(frontend: FrontendDetail | undefined): Server[] {
  const servers = new Map<string, Server>();
  for (const [, pool] of inOrder(frontend?.pools ?? {})) {
    for (const [backend, { address = backend, buckets = 0, traffic }] of inOrder(pool.members)) {
      if (buckets > 0 && !servers.has(address)) servers.set(address, { backend, buckets, traffic });
    }
  }
  return [...servers.values()];
}

function add(sums: Map<string, number>, key: string, value: number): void {
  sums.set(key, (sums.get(key) ?? 0) + value);
}

/** "1.4 ×". */
export function formatRatio(ratio: number): string {
  return `${ratio.toFixed(ratio < 0.995 || ratio > 1.005 ? 2 : 1)} ×`;
}

/** "shop/web-3 carries 35 % of the packets with 25 % of the buckets". */
export function describeImbalance({ backend, carried, expected }: Measured): string {
  const percent = (share: number) => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
  return `${backend} carries ${percent(carried)} of the packets with ${percent(expected)} of the buckets`;
}

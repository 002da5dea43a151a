// Rates of the last five minutes. The page keeps them, since the server sends only the newest reading.
import type { Counters, MemberTraffic } from "../sync/contract";

export const SAMPLE_INTERVAL_MS = 5000;

/** Five minutes. */
export const MAX_SAMPLES = 60;

/** Packets per second at one time: in total, and dropped for lack of a server. */
export interface Sample {
  readonly rate: number;
  readonly dropping: number;
}

/** The kinds of packets in their order: counter, label, tooltip. */
export const PACKET_KINDS = [
  ["existing", "known flows", "packets of flows with an assigned server"],
  ["first", "new flows", "first packets of their flows"],
  ["untracked", "untracked", "forwarded without an entry in the sticky table, which was full"],
  ["no_server", "dropped", "dropped: no server has a weight above 0"],
] as const;

export function toSample(counters: Counters | undefined): Sample {
  if (!counters) return { rate: 0, dropping: 0 };
  const rate = PACKET_KINDS.reduce((sum, [kind]) => sum + (counters[kind]?.rate ?? 0), 0);
  return { rate, dropping: counters.no_server?.rate ?? 0 };
}

/**
 * The sum of several nodes' counters, without routes, which VIPs share. `undefined` if no node has counters.
 */
export function sumCounters(counters: readonly (Counters | undefined)[]): Counters | undefined {
  const available = counters.filter((counter) => counter !== undefined);
  if (available.length === 0) return undefined;
  const sums = PACKET_KINDS.flatMap(([kind]) => {
    const counts = available.flatMap((counter) => counter[kind] ?? []);
    const sum = { total: 0, rate: 0 };
    for (const count of counts) {
      sum.total += count.total;
      sum.rate += count.rate;
    }
    return counts.length > 0 ? [[kind, sum] as const] : [];
  });
  return Object.fromEntries(sums);
}

/** The sum of a backend's traffic on several nodes. `undefined` if VPP reports it on none of them. */
export function sumTraffic(traffic: readonly (MemberTraffic | undefined)[]): MemberTraffic | undefined {
  const available = traffic.filter((part) => part !== undefined);
  if (available.length === 0) return undefined;
  const sum = (kind: "packets" | "bytes") => ({
    total: available.reduce((sum, part) => sum + part[kind].total, 0),
    rate: available.reduce((sum, part) => sum + part[kind].rate, 0),
  });
  return {
    packets: sum("packets"),
    bytes: sum("bytes"),
    vips: Math.max(...available.map(({ vips }) => vips)),
  };
}

/** The sum of upper bounds of flows. `undefined` without any. */
export function sumFlows(flows: readonly (number | undefined)[]): number | undefined {
  const available = flows.filter((count) => count !== undefined);
  return available.length === 0 ? undefined : available.reduce((sum, count) => sum + count, 0);
}

/** The samples of many VIPs. */
export class RateHistories {
  readonly #samples = new Map<string, Sample[]>();

  /** Adds one sample of each VIP. VIPs without a sample are dropped. */
  record(now: Iterable<readonly [string, Sample]>): void {
    const named = new Map(now);
    for (const name of this.#samples.keys()) if (!named.has(name)) this.#samples.delete(name);
    for (const [name, sample] of named) {
      const samples = this.#samples.get(name) ?? [];
      samples.push(sample);
      if (samples.length > MAX_SAMPLES) samples.shift();
      this.#samples.set(name, samples);
    }
  }

  /** The samples of a VIP, oldest first. */
  get(name: string): readonly Sample[] {
    return this.#samples.get(name) ?? [];
  }
}

/**
 * The SVG path of a line through `values` in a box of `width` by `height`, newest at the right edge; `""` for fewer
 * than two.
 */
export function linePath(values: readonly number[], max: number, width: number, height: number): string {
  if (values.length < 2) return "";
  const step = width / (MAX_SAMPLES - 1);
  const start = width - (values.length - 1) * step;
  const points = values.map((value, index) => {
    const y = height - (value / Math.max(max, 1)) * height;
    return `${(start + index * step).toFixed(1)} ${y.toFixed(1)}`;
  });
  return `M${points.join("L")}`;
}

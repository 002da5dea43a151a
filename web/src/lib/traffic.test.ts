// Rates, their sums and their charts.
import { describe, expect, it } from "vitest";
import type { Counters } from "../sync/contract";
import { RateHistories, MAX_SAMPLES, linePath, toSample, sumCounters, sumFlows, sumTraffic } from "./traffic";

const count = (rate: number) => ({ total: rate * 10, rate });
const counters = (existing: number, no_server: number): Counters => ({
  existing: count(existing),
  first: count(2),
  untracked: count(1),
  no_server: count(no_server),
  route: { packets: count(9), bytes: count(99) },
});

describe("traffic", () => {
  it("of a VIP is the sum of all packets, with dropped ones apart", () => {
    expect(toSample(counters(10, 4))).toEqual({ rate: 17, dropping: 4 });
    expect(toSample(undefined)).toEqual({ rate: 0, dropping: 0 });
  });

  it("of several nodes is summed, without the routes, which VIPs share", () => {
    const sum = sumCounters([counters(10, 0), undefined, counters(5, 3)]);
    expect(sum).toMatchObject({ existing: { total: 150, rate: 15 }, no_server: { total: 30, rate: 3 } });
    expect(sum).not.toHaveProperty("route");
    expect(sumCounters([undefined])).toBeUndefined();
  });

  it("leaves out counters that VPP does not report", () => {
    expect(sumCounters([{ first: count(2) }, {}])).toEqual({ first: count(2) });
    expect(toSample({ first: count(2) })).toEqual({ rate: 2, dropping: 0 });
  });

  it("of a backend is summed over the nodes that report it", () => {
    const part = (rate: number, vips: number) => ({ packets: count(rate), bytes: count(rate * 100), vips });
    expect(sumTraffic([part(10, 1), undefined, part(5, 2)])).toEqual({
      packets: count(15),
      bytes: count(1500),
      vips: 2,
    });
    expect(sumTraffic([undefined])).toBeUndefined();
    expect([sumFlows([3, undefined, 4]), sumFlows([undefined])]).toEqual([7, undefined]);
  });

  it("is kept for five minutes, and dropped with the VIP", () => {
    const histories = new RateHistories();
    for (let index = 0; index < MAX_SAMPLES + 3; index++)
      histories.record([["a", { rate: index, dropping: 0 }]]);
    expect(histories.get("a")).toHaveLength(MAX_SAMPLES);
    expect(histories.get("a")[0]?.rate).toBe(3);
    histories.record([]);
    expect(histories.get("a")).toEqual([]);
  });

  it("is drawn with the newest sample at the right edge and the highest at the top", () => {
    expect(linePath([0, 10, 5], 10, 590, 40)).toBe("M570.0 40.0L580.0 0.0L590.0 20.0");
    expect(linePath([1], 10, 590, 40)).toBe("");
  });
});

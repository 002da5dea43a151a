// The imbalance of a frontend, and the reasons why it cannot be computed.
import { describe, expect, it } from "vitest";
import type { FrontendDetail, FrontendParts, Member } from "../sync/contract";
import { describeImbalance, formatRatio, imbalance } from "./imbalance";

/** A server with this number of buckets and packets per second. */
function server(order: number, buckets: number, rate?: number, vips = 1): Member {
  const count = (rate: number) => ({ total: 0, rate });
  return {
    order,
    address: `10.0.0.${order}`,
    weight: 10,
    effective: 10,
    condition: "up",
    kept: false,
    buckets,
    ...(rate === undefined ? {} : { traffic: { packets: count(rate), bytes: count(rate), vips } }),
  };
}

const node = (members: Record<string, Member>): FrontendParts => ({
  frontends: {
    "shop/web": { pools: { primary: { order: 0, active: true, members } } } as unknown as FrontendDetail,
  },
  backends: {},
  health_checks: {},
});
const imbalanceOn = (...nodes: Record<string, Member>[]) =>
  imbalance("shop/web", Object.fromEntries(nodes.map((members, index) => [`node-${index}`, node(members)])));

describe("imbalance", () => {
  it("is 1 if each server carries its share of the buckets", () => {
    const result = imbalanceOn({ a: server(0, 300, 750), b: server(1, 100, 250) });
    expect(result).toMatchObject({ ratio: 1, carried: 0.75, expected: 0.75 });
  });

  it("names the server that carries most in proportion to its buckets", () => {
    const result = imbalanceOn({ a: server(0, 200, 50), b: server(1, 100, 50) });
    expect(result).toMatchObject({ backend: "b", ratio: 1.5, carried: 0.5 });
    expect("ratio" in result && describeImbalance(result)).toBe(
      "b carries 50 % of the packets with 33 % of the buckets",
    );
  });

  it("weighs the buckets of each node by its traffic", () => {
    const [busy, idle] = [
      { a: server(0, 100, 900), b: server(1, 300, 2700) },
      { a: server(0, 300, 30), b: server(1, 100, 10) },
    ];
    expect(imbalanceOn(busy, idle)).toMatchObject({ ratio: 1 });
  });

  it("ignores servers without buckets, which carry the rest of their flows", () => {
    expect(imbalanceOn({ a: server(0, 100, 100), drained: server(1, 0, 500) })).toMatchObject({
      ratio: 1,
      carried: 1,
    });
  });

  it("counts a backend of two addresses once per address", () => {
    const same = { ...server(0, 100, 100), address: "10.0.0.9" };
    expect(imbalanceOn({ a: same, b: { ...same, order: 1 } })).toMatchObject({ backend: "a", carried: 1 });
  });

  it("is unknown without counters, with shared addresses, without buckets, and with too little traffic", () => {
    expect(imbalanceOn({ a: server(0, 1, 100), b: server(1, 1) })).toEqual({
      unknown: "VPP does not report the traffic of b",
    });
    expect(imbalanceOn({ a: server(0, 1, 100, 2) })).toEqual({
      unknown: "other VIPs share the address of a, and VPP counts by address",
    });
    expect(imbalanceOn({ a: server(0, 0, 100) })).toEqual({ unknown: "no backend has buckets" });
    expect(imbalanceOn()).toEqual({ unknown: "no backend has buckets" });
    expect(imbalanceOn({ a: server(0, 1, 9), b: server(1, 1, 9) })).toEqual({
      unknown: "too little traffic",
    });
  });

  it("is formatted with two digits unless it is 1", () => {
    expect([1, 1.004, 1.5, 0.7].map(formatRatio)).toEqual(["1.0 ×", "1.0 ×", "1.50 ×", "0.70 ×"]);
  });
});

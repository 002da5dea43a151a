// Pools over several nodes, and shares of buckets.
import { describe, expect, it } from "vitest";
import type { FrontendDetail, Member, FrontendParts } from "../sync/contract";
import { summarizePools, groupByValue } from "./pools";
import { bucketShares } from "./bucket-shares";

const member = (order: number, more: Partial<Member> = {}): Member => ({
  order,
  address: `10.0.0.${order}`,
  weight: 10,
  effective: 10,
  in_vpp: 10,
  buckets: 100,
  condition: "up",
  kept: false,
  ...more,
});
const cut = (members: Record<string, Member>, active = true): FrontendParts => ({
  frontends: {
    "shop/web": { pools: { primary: { order: 0, active, members } } } as unknown as FrontendDetail,
  },
  backends: Object.fromEntries(
    Object.entries(members).map(([name, { condition }]) => [
      name,
      { state: condition, since: "2026", history: [] },
    ]),
  ) as unknown as FrontendParts["backends"],
  health_checks: {},
});

describe("pools over several nodes", () => {
  it("have one value where all nodes agree", () => {
    const [pool] = summarizePools("shop/web", {
      "node-a": cut({ "shop/a": member(0) }),
      "node-b": cut({ "shop/a": member(0) }),
    });
    expect(pool?.active).toEqual(["node-a", "node-b"]);
    expect(pool?.members[0]?.effective).toEqual([{ value: 10, nodes: ["node-a", "node-b"] }]);
  });

  it("name the nodes that differ, most frequent value first", () => {
    const down = member(0, { condition: "down", effective: 0 });
    const [pool] = summarizePools("shop/web", {
      "node-a": cut({ "shop/a": down }),
      "node-b": cut({ "shop/a": member(0) }),
      "node-c": cut({ "shop/a": member(0) }),
    });
    expect(pool?.members[0]?.effective).toEqual([
      { value: 10, nodes: ["node-b", "node-c"] },
      { value: 0, nodes: ["node-a"] },
    ]);
    expect(pool?.members[0]?.condition.map(({ value }) => value)).toEqual(["up", "down"]);
  });

  it("ignore a node without VPP in the buckets", () => {
    const { buckets, ...without } = member(0);
    const [pool] = summarizePools("shop/web", {
      "node-a": cut({ "shop/a": without }),
      "node-b": cut({ "shop/a": member(0) }),
    });
    expect(pool?.members[0]?.buckets).toEqual([{ value: buckets, nodes: ["node-b"] }]);
  });

  it("sum the traffic and the flows of the nodes that report them", () => {
    const traffic = { packets: { total: 70, rate: 7 }, bytes: { total: 700, rate: 70 }, vips: 1 };
    const [pool] = summarizePools("shop/web", {
      "node-a": cut({ "shop/a": member(0, { traffic, flows: 3 }) }),
      "node-b": cut({ "shop/a": member(0, { traffic, flows: 4 }) }),
      "node-c": cut({ "shop/a": member(0) }),
    });
    expect(pool?.members[0]).toMatchObject({ traffic: { packets: { total: 140, rate: 14 } }, flows: 7 });
  });

  it("have the worst path of the nodes that probe it", () => {
    const since = "2026-11-30T16:00:00.000Z";
    const [pool] = summarizePools("shop/web", {
      "node-a": cut({ "shop/a": member(0, { path: { state: "PathOK", since } }), "shop/b": member(1) }),
      "node-b": cut({ "shop/a": member(0, { path: { state: "PathRefused", since } }), "shop/b": member(1) }),
    });
    expect(pool?.members[0]?.path).toMatchObject({ state: "PathRefused", nodes: ["node-b"], differs: true });
    expect(pool?.members[1]?.path).toBeUndefined();
  });

  it("keep the order of the manifest", () => {
    const [pool] = summarizePools("shop/web", {
      "node-a": cut({ "shop/a": member(2), "shop/z": member(1) }),
    });
    expect(pool?.members.map(({ backend }) => backend)).toEqual(["shop/z", "shop/a"]);
  });

  it("group equal values", () => {
    expect(
      groupByValue([
        ["a", 1],
        ["b", 2],
        ["c", 2],
      ]),
    ).toEqual([
      { value: 2, nodes: ["b", "c"] },
      { value: 1, nodes: ["a"] },
    ]);
  });
});

describe("bucket shares", () => {
  const frontend = (pools: Record<string, Record<string, Member>>) =>
    ({
      pools: Object.fromEntries(
        Object.entries(pools).map(([name, members], order) => [
          name,
          { order, active: order === 0, members },
        ]),
      ),
    }) as unknown as FrontendDetail;

  it("fill the whole bar without gaps", () => {
    const parts = bucketShares(
      frontend({ p: { a: member(0, { buckets: 300 }), b: member(1, { buckets: 100 }) } }),
    );
    expect(parts.map(({ backend, fraction, start }) => [backend, fraction, start])).toEqual([
      ["a", 0.75, 0],
      ["b", 0.25, 0.75],
    ]);
  });

  it("count a backend of two pools once, since it is one server in VPP", () => {
    const same = member(0, { buckets: 100 });
    const parts = bucketShares(frontend({ p: { a: same, b: member(1, { buckets: 100 }) }, q: { a: same } }));
    expect(parts.map(({ fraction }) => fraction)).toEqual([0.5, 0.5]);
  });

  it("are empty if no server has buckets", () => {
    expect(bucketShares(frontend({ p: { a: member(0, { buckets: 0 }) } }))).toEqual([]);
  });
});

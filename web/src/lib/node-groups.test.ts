// Grouping of nodes with an identical state.
import { describe, expect, it } from "vitest";
import type { FrontendDetail, FrontendParts, NodeHeader } from "../sync/contract";
import { groupNodes, MAX_NODE_ROWS } from "./node-groups";

const cut = (state: string): FrontendParts => ({
  frontends: {
    "shop/web": {
      state: "up",
      standing: "serving",
      pools: { p: { members: { "shop/a": {} } } },
    } as unknown as FrontendDetail,
  },
  backends: { "shop/a": { state } } as unknown as FrontendParts["backends"],
  health_checks: {},
});
const nodes = (count: number) => {
  const names = Array.from({ length: count }, (_, index) => `n${String(index).padStart(2, "0")}`);
  const cuts = Object.fromEntries(names.map((name) => [name, cut("up")]));
  const heads = Object.fromEntries(names.map((name) => [name, { reporting: true } as NodeHeader]));
  return { names, cuts, heads };
};

describe("the groups of many nodes", () => {
  it("list each node separately while there are few", () => {
    const { names, cuts, heads } = nodes(MAX_NODE_ROWS);
    expect(groupNodes("shop/web", names, cuts, heads)).toEqual({ distinct: names, identical: [] });
  });

  it("separate nodes that differ: by a backend's state, by silence, by lacking the frontend", () => {
    const { names, cuts, heads } = nodes(40);
    const none: FrontendParts = { frontends: {}, backends: {}, health_checks: {} };
    const differing = { ...cuts, n03: cut("down"), n09: none };
    const groups = groupNodes("shop/web", names, differing, {
      ...heads,
      n07: { reporting: false } as NodeHeader,
    });
    expect(groups.distinct).toEqual(["n03", "n07", "n09"]);
    expect(groups.identical).toHaveLength(37);
  });
});

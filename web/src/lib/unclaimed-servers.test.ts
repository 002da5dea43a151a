import { describe, expect, it } from "vitest";
import type { FrontendParts } from "../sync/contract";
import { unclaimedServers } from "./unclaimed-servers";

const parts = (servers?: Record<string, number>) =>
  ({
    frontends: { "shop/web": { in_vpp: { servers: 2, unclaimed_servers: servers } } },
  }) as unknown as FrontendParts;

describe("unclaimedServers", () => {
  it("lists each server once, with its largest weight", () => {
    const nodes = { a: parts({ "10.0.0.9": 0, "10.0.0.8": 10 }), b: parts({ "10.0.0.9": 10 }), c: parts() };
    expect(unclaimedServers("shop/web", nodes)).toEqual([
      { address: "10.0.0.8", weight: 10, nodes: 1 },
      { address: "10.0.0.9", weight: 10, nodes: 2 },
    ]);
    expect(unclaimedServers("shop/other", nodes)).toEqual([]);
  });
});

// What is wrong with a node, the worst first.
import { describe, expect, it } from "vitest";
import type { NodeHead } from "../sync/contract";
import { nodeState, nodeTroubles } from "./node-problems";

const well: NodeHead = {
  pod: "maglev/maglevd-x",
  address: "10.0.0.1:9090",
  link: "connected",
  reporting: true,
  ready: true,
  vpp: "connected",
  suspect: [],
  holds: {},
  failed_steps: 0,
  foreign: 0,
  rate: 0,
  frontends: 0,
  backends: 0,
  flags: [],
};

describe("what is wrong with a node", () => {
  it("is nothing when it is well", () => {
    expect(nodeTroubles(well)).toEqual([]);
    expect(nodeState(well)).toEqual({ state: "up", word: "reporting" });
  });

  it("is that it is silent, with why and since when, before anything it said last", () => {
    const head: NodeHead = {
      ...well,
      link: "unreachable",
      reporting: false,
      error: "refused",
      last_seen: "2026",
      vpp: "lost",
    };
    expect(nodeTroubles(head)).toEqual([{ shape: "stale", word: "silent", why: "refused", since: "2026" }]);
    expect(nodeState(head).word).toBe("silent");
  });

  it("is that VPP is lost, which hurts", () => {
    expect(nodeState({ ...well, vpp: "lost", ready: false, not_ready: "waiting for VPP" })).toEqual({
      state: "down",
      word: "VPP lost",
    });
  });

  it("is that it is not ready", () => {
    expect(nodeTroubles({ ...well, ready: false, not_ready: "warming up" })[0]).toMatchObject({
      word: "not ready",
      why: "warming up",
    });
  });

  it("is all that it says, the worst first", () => {
    const head: NodeHead = {
      ...well,
      vpp: "lost",
      suspect: ["ipv6"],
      holds: { h: { removals: 6, until: "2026-11-25T03:08:02.123Z" } },
      failed_steps: 1,
      sync_error: "no source address",
    };
    expect(nodeTroubles(head).map(({ word }) => word)).toEqual([
      "VPP lost",
      "probe path suspect (ipv6)",
      "6 removals held",
      "1 step failed",
      "sync error",
    ]);
  });
});

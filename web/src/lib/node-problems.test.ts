// Problems of a node, the worst first.
import { describe, expect, it } from "vitest";
import type { NodeHeader } from "../sync/contract";
import { nodeDisplayState, nodeProblems } from "./node-problems";

const healthy: NodeHeader = {
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

describe("the problems of a node", () => {
  it("are none if it is healthy", () => {
    expect(nodeProblems(healthy)).toEqual([]);
    expect(nodeDisplayState(healthy)).toEqual({ state: "up", label: "reporting" });
  });

  it("are only that it is silent, with reason and age", () => {
    const head: NodeHeader = {
      ...healthy,
      link: "unreachable",
      reporting: false,
      error: "refused",
      last_seen: "2026",
      vpp: "lost",
    };
    expect(nodeProblems(head)).toEqual([
      { shape: "stale", label: "silent", reason: "refused", since: "2026" },
    ]);
    expect(nodeDisplayState(head).label).toBe("silent");
  });

  it("include a lost VPP, which is an outage", () => {
    expect(nodeDisplayState({ ...healthy, vpp: "lost", ready: false, not_ready: "waiting for VPP" })).toEqual(
      {
        state: "down",
        label: "VPP lost",
      },
    );
  });

  it("include that it is not ready", () => {
    expect(nodeProblems({ ...healthy, ready: false, not_ready: "warming up" })[0]).toMatchObject({
      label: "not ready",
      reason: "warming up",
    });
  });

  it("are listed with the worst first", () => {
    const head: NodeHeader = {
      ...healthy,
      vpp: "lost",
      suspect: ["ipv6"],
      holds: { h: { subject: "6 removals", until: "2026-11-25T03:08:02.123Z" } },
      failed_steps: 1,
      sync_error: "no source address",
    };
    expect(nodeProblems(head).map(({ label }) => label)).toEqual([
      "VPP lost",
      "probe path suspect (ipv6)",
      "6 removals held",
      "1 step failed",
      "sync error",
    ]);
  });
});

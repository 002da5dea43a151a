// Functions that make labels, colours and commands.
import { describe, expect, it } from "vitest";
import type { FrontendDetail, FrontendParts, TransitionDetail } from "../sync/contract";
import { describeCommands, podCommands } from "./commands";
import { conditionState, conditionLabel } from "./condition";
import { backendHue, HUES } from "./backend-color";
import { programSummary } from "./program-status";
import { newestTransitions } from "./transitions";
import { formatVip } from "./vip";
import { columnWidths } from "./column-widths";

describe("a VIP", () => {
  it.each([
    [{ address: "203.0.113.10", protocol: "tcp", port: 443 }, "203.0.113.10:443 TCP"],
    [{ address: "2001:db8::80", protocol: "udp", port: 80 }, "[2001:db8::80]:80 UDP"],
    [{ address: "203.0.113.99", protocol: "any", port: 0 }, "203.0.113.99 any"],
  ])("%j is %s", (vip, text) => {
    expect(formatVip(vip)).toBe(text);
  });

  it("is never cut: the longest address sets the width of the column", () => {
    const address = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff";
    const { vip } = columnWidths({ a: { vip: { address, protocol: "tcp", port: 65535 } } });
    expect(vip).toBe(`[${address}]:65535 TCP`.length);
  });
});

describe("a backend's colour", () => {
  it("depends on its name only, and differs between adjacent numbers", () => {
    expect(backendHue("shop/web-1")).toBe(backendHue("shop/web-1"));
    const hues = Array.from({ length: HUES }, (_, index) => backendHue(`shop/web-${index}`));
    expect(new Set(hues).size).toBe(HUES);
    for (const name of ["", "x", "shop/web-99999999999999999999"]) {
      expect(backendHue(name)).toBeGreaterThanOrEqual(0);
      expect(backendHue(name)).toBeLessThan(HUES);
    }
  });
});

describe("commands", () => {
  it("use full resource names", () => {
    expect(describeCommands("Frontend", "shop/web")).toEqual([
      "kubectl --namespace shop describe frontends.maglev.vpp.io web",
    ]);
    expect(describeCommands("MaglevNode", "node-a")).toEqual([
      "kubectl describe maglevnodes.maglev.vpp.io node-a",
    ]);
  });

  it("are empty without a pod", () => {
    expect(podCommands("")).toEqual([]);
    expect(podCommands("maglev/maglevd-x")[0]).toBe("kubectl --namespace maglev logs maglevd-x");
  });
});

describe("conditions of a member", () => {
  it("have a label and a state, even if unknown to this page", () => {
    expect([conditionLabel("suspect"), conditionState("suspect")]).toEqual(["in doubt", "unknown"]);
    expect([conditionLabel("new-in-2030"), conditionState("new-in-2030")]).toEqual([
      "new-in-2030",
      "unknown",
    ]);
    expect(conditionState("paused")).toBe("paused");
    expect([conditionLabel("path-down"), conditionState("path-down")]).toEqual(["path down", "down"]);
  });
});

describe("the progress of nodes", () => {
  it("groups nodes with equal progress", () => {
    const cut = (report: FrontendDetail["report"]): FrontendParts => ({
      frontends: { "shop/web": { report } as unknown as FrontendDetail },
      backends: {},
      health_checks: {},
    });
    const programmed = { result: "Programmed", generation: 7, fingerprint: "" } as const;
    const failed = { result: "Failed", reason: "VppRefused", generation: 7, fingerprint: "" } as const;
    expect(programSummary("shop/web", { a: cut(programmed), b: cut(failed), c: cut(programmed) })).toBe(
      "programmed 7 on 2 nodes, Failed VppRefused on b",
    );
  });
});

describe("the latest transitions", () => {
  it("are the twenty newest, a frontend's before its backend's of the same time", () => {
    const at = (second: number) => `2026-11-25T03:08:${String(second).padStart(2, "0")}.000Z`;
    const transition = (kind: TransitionDetail["kind"], second: number): TransitionDetail => ({
      kind,
      name: "a/b",
      to: "up",
      at: at(second),
      nodes: [],
    });
    const transitions = Object.fromEntries(
      Array.from({ length: 30 }, (_, index) => [`t${index}`, transition("Backend", index)]),
    );
    const ids = newestTransitions({ ...transitions, f: transition("Frontend", 29) });
    expect(ids.slice(0, 3)).toEqual(["f", "t29", "t28"]);
    expect(ids).toHaveLength(20);
  });
});

// The buffer of log lines.
import { describe, expect, it } from "vitest";
import type { Line } from "../sync/contract";
import { appendLines, filterLines, lineKind, MAX_LOG_LINES, EMPTY_LOG } from "./log-buffer";

const line = (seq: number | undefined, name: string, more: Partial<Line> = {}): Line => ({
  ...(seq === undefined ? {} : { seq }),
  time: "2026-11-25T03:08:02.123Z",
  level: "info",
  name,
  attributes: [["name", "shop/web-3"]],
  ...more,
});

describe("the log buffer", () => {
  it("has each line once, even if it is sent again", () => {
    const once = appendLines(EMPTY_LOG, "node-a", "e", [line(1, "x"), line(2, "y")]);
    expect(
      appendLines(once, "node-a", "e", [line(2, "y"), line(3, "z")]).lines.map((entry) => entry.line.seq),
    ).toEqual([1, 2, 3]);
    expect(appendLines(once, "node-a", "e", [line(1, "x")])).toBe(once);
  });

  it("keeps lines of equal number from different nodes and epochs", () => {
    const once = appendLines(EMPTY_LOG, "node-a", "e", [line(1, "x")]);
    const twice = appendLines(appendLines(once, "node-b", "e", [line(1, "x")]), "node-a", "f", [
      line(1, "x"),
    ]);
    expect(twice.lines).toHaveLength(3);
  });

  it("keeps every probe, since probes have no number", () => {
    const once = appendLines(EMPTY_LOG, "node-a", "e", [
      line(undefined, "probe-done"),
      line(undefined, "probe-done"),
    ]);
    expect(appendLines(once, "node-a", "e", [line(undefined, "probe-done")]).lines).toHaveLength(3);
  });

  it("drops the oldest lines, and still counts them", () => {
    const lines = Array.from({ length: MAX_LOG_LINES + 5 }, (_, index) => line(index, "x"));
    const log = appendLines(EMPTY_LOG, "node-a", "e", lines);
    expect(log.lines).toHaveLength(MAX_LOG_LINES);
    expect(log.lines[0]?.line.seq).toBe(5);
    expect(log.count).toBe(MAX_LOG_LINES + 5);
  });

  it("is filtered by node and by all terms", () => {
    let log = appendLines(EMPTY_LOG, "node-a", "e", [
      line(1, "backend-transition"),
      line(2, "vpp-connect", { attributes: [] }),
    ]);
    log = appendLines(log, "node-b", "e", [line(1, "backend-transition")]);
    expect(filterLines(log, "node-a", [])).toHaveLength(2);
    expect(filterLines(log, null, ["transition", "web-3"])).toHaveLength(2);
    expect(filterLines(log, "node-a", ["name=shop/web-3"])).toHaveLength(1);
    expect(filterLines(log, null, [])).toBe(log.lines);
  });

  it("classifies lines", () => {
    expect(lineKind(line(1, "vpp-lb-sync-vip-added"))).toBe("add");
    expect(lineKind(line(1, "vpp-lb-sync-as-removed"))).toBe("remove");
    expect(lineKind(line(1, "vpp-lb-sync-as-weight-updated"))).toBe("weight");
    expect(lineKind(line(1, "vpp-lb-sync-error", { level: "warn" }))).toBe("problem");
    expect(lineKind(line(1, "backend-transition"))).toBe("transition");
    expect(lineKind(line(1, "frontend-programmed"))).toBe("other");
  });
});

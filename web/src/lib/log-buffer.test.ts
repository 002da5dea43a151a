// The tail of the log: each line once, the newest kept.
import { describe, expect, it } from "vitest";
import type { Line } from "../sync/message";
import { append, chosen, kindOf, MOST_LINES, NO_LINES } from "./log-buffer";

const line = (seq: number | undefined, name: string, more: Partial<Line> = {}): Line => ({
  ...(seq === undefined ? {} : { seq }),
  time: "2026-11-25T03:08:02.123Z",
  level: "info",
  name,
  attributes: [["name", "shop/web-3"]],
  ...more,
});

describe("the tail of the log", () => {
  it("has each line once, however often it is sent", () => {
    const once = append(NO_LINES, "node-a", "e", [line(1, "x"), line(2, "y")]);
    expect(append(once, "node-a", "e", [line(2, "y"), line(3, "z")]).lines.map((of) => of.line.seq)).toEqual([
      1, 2, 3,
    ]);
    expect(append(once, "node-a", "e", [line(1, "x")])).toBe(once);
  });

  it("takes the same number of another node or epoch for another line", () => {
    const once = append(NO_LINES, "node-a", "e", [line(1, "x")]);
    const twice = append(append(once, "node-b", "e", [line(1, "x")]), "node-a", "f", [line(1, "x")]);
    expect(twice.lines).toHaveLength(3);
  });

  it("takes every probe, for they have no numbers", () => {
    const once = append(NO_LINES, "node-a", "e", [
      line(undefined, "probe-done"),
      line(undefined, "probe-done"),
    ]);
    expect(append(once, "node-a", "e", [line(undefined, "probe-done")]).lines).toHaveLength(3);
  });

  it("forgets the oldest, and still counts them", () => {
    const many = Array.from({ length: MOST_LINES + 5 }, (_, index) => line(index, "x"));
    const tail = append(NO_LINES, "node-a", "e", many);
    expect(tail.lines).toHaveLength(MOST_LINES);
    expect(tail.lines[0]?.line.seq).toBe(5);
    expect(tail.count).toBe(MOST_LINES + 5);
  });

  it("is chosen by node and by every word", () => {
    let tail = append(NO_LINES, "node-a", "e", [
      line(1, "backend-transition"),
      line(2, "vpp-connect", { attributes: [] }),
    ]);
    tail = append(tail, "node-b", "e", [line(1, "backend-transition")]);
    expect(chosen(tail, "node-a", [])).toHaveLength(2);
    expect(chosen(tail, null, ["transition", "web-3"])).toHaveLength(2);
    expect(chosen(tail, "node-a", ["name=shop/web-3"])).toHaveLength(1);
    expect(chosen(tail, null, [])).toBe(tail.lines);
  });

  it("tells kinds apart", () => {
    expect(kindOf(line(1, "vpp-lb-sync-vip-added"))).toBe("add");
    expect(kindOf(line(1, "vpp-lb-sync-as-removed"))).toBe("remove");
    expect(kindOf(line(1, "vpp-lb-sync-as-weight-updated"))).toBe("weight");
    expect(kindOf(line(1, "vpp-lb-sync-error", { level: "warn" }))).toBe("trouble");
    expect(kindOf(line(1, "backend-transition"))).toBe("transition");
    expect(kindOf(line(1, "frontend-programmed"))).toBe("other");
  });
});

// Ages, numbers and times at the boundaries of their units.
import { describe, expect, it } from "vitest";
import {
  formatAge,
  formatBitRate,
  timeOfDay,
  fullTime,
  plural,
  formatPacketRate,
  compactNumber,
} from "./format";

describe("ages", () => {
  const now = Date.parse("2026-11-25T12:00:00Z");
  it.each([
    [0, "0 s"],
    [42, "42 s"],
    [60, "1 m"],
    [3599, "59 m"],
    [3600, "1 h"],
    [47 * 3600, "47 h"],
    [48 * 3600, "2 d"],
    [9 * 86_400, "9 d"],
    [-5, "0 s"],
  ])("of %d seconds are %s", (seconds, text) => {
    expect(formatAge(now - seconds * 1000, now)).toBe(text);
  });
});

describe("numbers", () => {
  it.each([
    [0, "0"],
    [0.4, "0.4"],
    [9.96, "10.0"],
    [310, "310"],
    [999.4, "999"],
    [999.6, "1.0 k"],
    [1234, "1.2 k"],
    [999_949, "999.9 k"],
    [999_950, "1.0 M"],
    [48_100_000, "48.1 M"],
    [2_500_000_000, "2.5 G"],
  ])("%d is %s", (value, text) => {
    expect(compactNumber(value)).toBe(text);
  });

  it("of packets and bits have a unit", () => {
    expect(formatPacketRate(310)).toBe("310 pps");
    expect(formatPacketRate(1234)).toBe("1.2 kpps");
    expect(formatBitRate(125)).toBe("1.0 kbit/s");
  });

  it("have a noun in singular or plural", () => {
    expect(plural(1, "node")).toBe("1 node");
    expect(plural(1000, "backend")).toBe("1,000 backends");
  });
});

describe("times", () => {
  it("are formatted in UTC", () => {
    const at = Date.parse("2026-11-25T03:08:02.123Z");
    expect(timeOfDay(at, "utc")).toBe("03:08:02");
    expect(fullTime(at, "utc")).toBe("2026-11-25 03:08:02.123 UTC");
  });

  it("are unknown if invalid, since a build can lack its date", () => {
    const none = Date.parse("unknown");
    expect([formatAge(none, 0), timeOfDay(none, "utc"), fullTime(none, "local")]).toEqual([
      "unknown",
      "unknown",
      "unknown",
    ]);
  });

  it("are formatted in local time with the offset from UTC", () => {
    const at = Date.parse("2026-11-25T03:08:02.123Z");
    const local = new Date(at);
    const two = (part: number) => String(part).padStart(2, "0");
    const expected = [local.getHours(), local.getMinutes(), local.getSeconds()].map(two).join(":");
    expect(timeOfDay(at, "local")).toBe(expected);
    expect(fullTime(at, "local")).toMatch(/ UTC[+−]\d\d:\d\d$/);
  });
});

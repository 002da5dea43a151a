// The usage of sticky tables.
import { describe, expect, it } from "vitest";
import { stickyTableUsage } from "./sticky-tables";

describe("sticky tables", () => {
  it("are listed by thread, with the used part of their capacity", () => {
    const table = (entries: number, filling: boolean) => ({ entries, capacity: 4096, filling });
    expect(stickyTableUsage({ "10": table(0, false), "2": table(1705, true) })).toEqual([
      { text: "thread 2: 1,705 of 4,096 flows (41 %)", filling: true },
      { text: "thread 10: 0 of 4,096 flows (0 %)", filling: false },
    ]);
  });
});

// Parsing and counting of cells.
import { describe, expect, it } from "vitest";
import type { NodeHeader } from "../sync/contract";
import { parseCells, countStates } from "./cells";

const nodes = (reporting: Record<string, boolean>) =>
  Object.fromEntries(
    Object.entries(reporting).map(([name, reporting]) => [name, { reporting } as unknown as NodeHeader]),
  );

describe("the cells of a row", () => {
  it.each([
    ["up", "up", "up"],
    ["standby", "standby", "standby"],
    ["down", "down", "down"],
    ["unknown", "unknown", "unknown"],
    ["unknown Pending", "waiting", "unknown, Pending"],
    ["up Failed", "rejected", "up, Failed"],
    ["up Held", "rejected", "up, Held"],
    ["withdrawn", "rejected", "withdrawn"],
    // An outage has precedence over its reason.
    ["down Failed", "down", "down, Failed"],
    ["down Pending", "down", "down, Pending"],
  ])("%j has state %s and label %j", (cell, state, label) => {
    expect(parseCells({ a: cell }, nodes({ a: true }))).toEqual([{ node: "a", state, stale: false, label }]);
  });

  it("are in the order of the nodes, and stale if a node does not report or is gone", () => {
    const cells = parseCells({ b: "up", a: "up", c: "down" }, nodes({ a: true, b: false }));
    expect(cells.map(({ node, stale }) => [node, stale])).toEqual([
      ["a", false],
      ["b", true],
      ["c", true],
    ]);
    expect(cells[1]?.label).toBe("up, not reporting");
  });

  it("are counted, most frequent first, with stale ones apart", () => {
    const cells = parseCells(
      { a: "up", b: "up", c: "down", d: "up" },
      nodes({ a: true, b: true, c: true, d: false }),
    );
    expect(countStates(cells).map(({ label, count }) => `${count} ${label}`)).toEqual([
      "2 up",
      "1 down",
      "1 silent",
    ]);
  });
});

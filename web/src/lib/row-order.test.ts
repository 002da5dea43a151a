// The order of rows, updated and frozen.
import { describe, expect, it } from "vitest";
import type { Row } from "../sync/contract";
import { stableOrder, sortRows } from "./row-order";

const row = (rank: number) => ({ rank }) as Row;

describe("the order of rows", () => {
  it("puts problems first, then sorts by name like the server", () => {
    const rows = { "b/x": row(0), "a/y": row(0), "c/z": row(10), "B/x": row(0), "d/w": row(100) };
    expect(sortRows(rows, Object.keys(rows))).toEqual(["d/w", "c/z", "B/x", "a/y", "b/x"]);
  });

  it("is updated while not frozen", () => {
    expect(stableOrder(["a", "b"], ["b", "a"], false)).toEqual(["b", "a"]);
  });

  it("is the same object if nothing moved", () => {
    const shown = ["a", "b"];
    expect(stableOrder(shown, ["a", "b"], false)).toBe(shown);
    expect(stableOrder(shown, ["b", "a"], true)).toBe(shown);
  });

  it("does not change while frozen, and appends new rows", () => {
    expect(stableOrder(["a", "b"], ["c", "b", "a"], true)).toEqual(["a", "b", "c"]);
  });

  it("keeps removed rows while frozen, and drops them afterwards", () => {
    expect(stableOrder(["a", "b"], ["b"], true)).toEqual(["a", "b"]);
    expect(stableOrder(["a", "b"], ["b"], false)).toEqual(["b"]);
  });
});

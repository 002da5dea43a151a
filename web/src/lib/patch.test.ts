// Merge patches: the examples of the RFC, and the identity of unchanged parts.
import { describe, expect, it } from "vitest";
import { applyPatch } from "./patch";

describe("a merge patch", () => {
  // RFC 7396, appendix A.
  it.each([
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b" }, { a: null }, {}],
    [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
    [
      ["a", "b"],
      ["c", "d"],
      ["c", "d"],
    ],
    [{ a: "b" }, ["c"], ["c"]],
    [{ a: "foo" }, "bar", "bar"],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: "b", c: null }, { a: "b" }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])("of %j by %j yields %j", (target, patch, result) => {
    expect(applyPatch<unknown>(target, patch)).toEqual(result);
  });

  it("does not modify the old value", () => {
    const old = { rows: { a: { up: 1 }, b: { up: 2 } } };
    const next = applyPatch(old, { rows: { a: { up: 3 }, b: null } });
    expect(old).toEqual({ rows: { a: { up: 1 }, b: { up: 2 } } });
    expect(next).toEqual({ rows: { a: { up: 3 } } });
  });

  it("keeps the identity of parts that it does not name", () => {
    const old = { rows: { a: { up: 1 }, b: { up: 2 } }, nodes: {} };
    const next = applyPatch(old, { rows: { a: { up: 3 } } });
    expect(next.rows.b).toBe(old.rows.b);
    expect(next.nodes).toBe(old.nodes);
    expect(next.rows.a).not.toBe(old.rows.a);
  });

  it("without a difference returns the same object", () => {
    const old = { row: { up: 1, flags: ["down"] } };
    expect(applyPatch(old, { row: { up: 1, flags: ["down"] }, gone: null })).toBe(old);
  });
});

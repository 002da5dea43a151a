// Identity of unchanged parts.
import { describe, expect, it } from "vitest";
import { merge } from "./merge";

describe("a refetched document", () => {
  const old = { rows: { a: { up: 1, flags: ["x"] }, b: { up: 2, flags: [] } }, list: [{ n: 1 }, { n: 2 }] };

  it("is the old object if it is equal", () => {
    expect(merge(old, structuredClone(old))).toBe(old);
  });

  it("replaces only the parts that differ", () => {
    const next = structuredClone(old);
    next.rows.a.up = 9;
    next.list.push({ n: 3 });
    const merged = merge(old, next);
    expect(merged).toEqual(next);
    expect(merged.rows.b).toBe(old.rows.b);
    expect(merged.rows.a.flags).toBe(old.rows.a.flags);
    expect(merged.list[0]).toBe(old.list[0]);
    expect(merged.rows).not.toBe(old.rows);
  });

  it("drops removed keys", () => {
    expect(merge<unknown>({ a: 1, b: 2 }, { a: 1 })).toEqual({ a: 1 });
  });

  it("can change its type", () => {
    expect(merge<unknown>({ a: [1] }, { a: { b: 1 } })).toEqual({ a: { b: 1 } });
    expect(merge<unknown>(undefined, { a: 1 })).toEqual({ a: 1 });
  });
});

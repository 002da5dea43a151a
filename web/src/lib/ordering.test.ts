// Which messages a document has already, and when it was fetched too early.
import { describe, expect, it } from "vitest";
import { covered, olderThanHello } from "./ordering";

const all = () => true;
const at = (epoch: string, seq: number) => ({ "node-a": { epoch, seq } });

describe("a document", () => {
  it("is older than hello when a node is behind, or of another epoch", () => {
    expect(olderThanHello(at("x", 9), at("x", 10), all)).toBe(true);
    expect(olderThanHello(at("y", 11), at("x", 10), all)).toBe(true);
    expect(olderThanHello(at("x", 10), at("x", 10), all)).toBe(false);
    expect(olderThanHello(at("x", 12), at("x", 10), all)).toBe(false);
  });

  it("is not waited for because of a node that does not report, or that it does not have", () => {
    expect(olderThanHello(at("x", 9), at("x", 10), () => false)).toBe(false);
    expect(olderThanHello({}, at("x", 10), all)).toBe(false);
  });

  it("covers messages up to its number, within one epoch", () => {
    expect(covered(at("x", 10), at("x", 10))).toBe(true);
    expect(covered(at("x", 11), at("x", 10))).toBe(false);
    expect(covered(at("y", 1), at("x", 10))).toBe(false);
  });

  it("covers a message of several nodes only if all are in it", () => {
    const message = { ...at("x", 5), "node-b": { epoch: "b", seq: 7 } };
    expect(covered(message, { ...at("x", 9), "node-b": { epoch: "b", seq: 7 } })).toBe(true);
    expect(covered(message, { ...at("x", 9), "node-b": { epoch: "b", seq: 6 } })).toBe(false);
    expect(covered(message, at("x", 9))).toBe(false);
  });

  it("never covers a message without numbers", () => {
    expect(covered(undefined, at("x", 10))).toBe(false);
    expect(covered({}, at("x", 10))).toBe(false);
  });
});

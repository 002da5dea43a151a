// Comparison of a document's positions with those of messages and of the hello.
import { describe, expect, it } from "vitest";
import { isCovered, isOlderThanHello } from "./ordering";

const all = () => true;
const at = (epoch: string, seq: number) => ({ "node-a": { epoch, seq } });

describe("a document", () => {
  it("is older than hello if a node is behind, or of another epoch", () => {
    expect(isOlderThanHello(at("x", 9), at("x", 10), all)).toBe(true);
    expect(isOlderThanHello(at("y", 11), at("x", 10), all)).toBe(true);
    expect(isOlderThanHello(at("x", 10), at("x", 10), all)).toBe(false);
    expect(isOlderThanHello(at("x", 12), at("x", 10), all)).toBe(false);
  });

  it("is not older because of a node that does not report, or that it does not have", () => {
    expect(isOlderThanHello(at("x", 9), at("x", 10), () => false)).toBe(false);
    expect(isOlderThanHello({}, at("x", 10), all)).toBe(false);
  });

  it("covers messages up to its position, within one epoch", () => {
    expect(isCovered(at("x", 10), at("x", 10))).toBe(true);
    expect(isCovered(at("x", 11), at("x", 10))).toBe(false);
    expect(isCovered(at("y", 1), at("x", 10))).toBe(false);
  });

  it("covers a message of several nodes only if it covers all of them", () => {
    const message = { ...at("x", 5), "node-b": { epoch: "b", seq: 7 } };
    expect(isCovered(message, { ...at("x", 9), "node-b": { epoch: "b", seq: 7 } })).toBe(true);
    expect(isCovered(message, { ...at("x", 9), "node-b": { epoch: "b", seq: 6 } })).toBe(false);
    expect(isCovered(message, at("x", 9))).toBe(false);
  });

  it("never covers a message without a position", () => {
    expect(isCovered(undefined, at("x", 10))).toBe(false);
    expect(isCovered({}, at("x", 10))).toBe(false);
  });
});

// The sentence about nodes that disagree, and the share in the counts of problems.
import { describe, expect, it } from "vitest";
import type { Disagreement } from "../sync/contract";
import { disagreementSentence, largestShare } from "./disagreement";

const disagreement = (nodes: readonly string[], majority: boolean, percent = 33.1): Disagreement => ({
  since: "2026-11-23T14:02:11.000Z",
  percent,
  nodes,
  majority,
});

describe("the sentence about nodes that disagree", () => {
  it("names the nodes that differ from most", () => {
    expect(disagreementSentence(disagreement(["node-b"], true))).toBe(
      "The new-flow table differs from that of most nodes in 33.1 % of the buckets on node-b",
    );
  });

  it("names all nodes without a majority", () => {
    expect(disagreementSentence(disagreement(["node-a", "node-b"], false, 5))).toBe(
      "The new-flow tables differ in 5.0 % of the buckets between node-a, node-b",
    );
  });

  it("counts nodes beyond the first five", () => {
    expect(disagreementSentence(disagreement(["a", "b", "c", "d", "e", "f", "g"], true))).toContain(
      "on a, b, c, d, e and 2 more nodes",
    );
  });

  it("has no share if only states or weights differ", () => {
    expect(disagreementSentence(disagreement([], false, 0))).toBe(
      "Nodes differ about the states or weights of backends",
    );
  });
});

describe("the share in the counts", () => {
  it("is absent if no table differs", () => {
    expect(largestShare({})).toBe("");
    expect(largestShare({ differing_percent: 12.34 })).toBe("12.3 %");
  });
});

// Filtering of rows, nodes and objects.
import { describe, expect, it } from "vitest";
import type { NodeHeader, ObjectProblems, Row } from "../sync/contract";
import { matchingRows, matchingNodes, matchingProblems, searchTerms } from "./filter";

const row = (more: Partial<Row> = {}): Row => ({
  vip: { address: "203.0.113.10", protocol: "tcp", port: 443 },
  state: "up",
  rank: 0,
  flags: [],
  cells: { "node-a": "up" },
  up: 1,
  total: 1,
  rate: 0,
  dropping: 0,
  reason: "",
  ...more,
});

describe("the filter", () => {
  const rows = {
    "shop/web": row(),
    "shop/api": row({ state: "down", flags: ["down"], reason: "all backends L4TOUT" }),
    "blog/www": row({
      vip: { address: "2001:db8::80", protocol: "udp", port: 80 },
      cells: { "node-a": "up Held" },
    }),
  };
  const backends = new Map([["shop/web", "shop/web-1\n10.1.0.1"]]);
  const matches = (query: string) => matchingRows(rows, searchTerms(query), null, backends);

  it.each([
    ["", ["shop/web", "shop/api", "blog/www"]],
    ["SHOP", ["shop/web", "shop/api"]],
    ["203.0.113.10:443", ["shop/web", "shop/api"]],
    ["[2001:db8::80]:80", ["blog/www"]],
    ["2001:db8::80", ["blog/www"]],
    ["web-1", ["shop/web"]],
    ["10.1.0.1 shop/", ["shop/web"]],
    ["down", ["shop/api"]],
    ["l4tout", ["shop/api"]],
    ["held", ["blog/www"]],
    ["udp", ["blog/www"]],
    ["nothing", []],
  ])("%j matches %j", (query, names) => {
    expect(matches(query)).toEqual(names);
  });

  it("selects the rows of a count", () => {
    expect(matchingRows(rows, [], "down")).toEqual(["shop/api"]);
    expect(matchingRows(rows, searchTerms("web"), "down")).toEqual([]);
  });

  it("matches the new text of a changed row", () => {
    expect(matchingRows({ "shop/web": row({ state: "standby" }) }, ["standby"], null)).toEqual(["shop/web"]);
  });
});

describe("what needs attention", () => {
  const head = (more: Partial<NodeHeader>) =>
    ({ flags: [], suspect: [], pod: "", ...more }) as unknown as NodeHeader;
  const nodes = {
    "node-c": head({ flags: ["silent"], error: "refused" }),
    "node-b": head({ suspect: ["ipv4"] }),
    "node-a": head({}),
  };

  it("includes nodes with a flag or a suspect probe path, in order", () => {
    expect(matchingNodes(nodes, [], null)).toEqual(["node-b", "node-c"]);
    expect(matchingNodes(nodes, [], "silent")).toEqual(["node-c"]);
    expect(matchingNodes(nodes, ["refused"], null)).toEqual(["node-c"]);
  });

  it("includes objects with problems that no row shows", () => {
    const withProblem = (kind: ObjectProblems["kind"], name: string): ObjectProblems => ({
      kind,
      name,
      nodes: ["node-a"],
      held: false,
      problems: [{ reason: "NoBackends", field: "spec", message: "none" }],
    });
    const problems = {
      "Frontend shop/web": withProblem("Frontend", "shop/web"),
      "Frontend shop/lost": withProblem("Frontend", "shop/lost"),
      "Backend shop/b": withProblem("Backend", "shop/b"),
    };
    const rows = { "shop/web": row() };
    expect(matchingProblems(problems, rows, [], null)).toEqual(["Backend shop/b", "Frontend shop/lost"]);
    expect(matchingProblems(problems, rows, [], "down")).toEqual([]);
    expect(matchingProblems(problems, rows, ["lost"], "rejected")).toEqual(["Frontend shop/lost"]);
  });
});

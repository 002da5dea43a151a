// The index of backends, and the node that it is loaded from.
import { describe, expect, it } from "vitest";
import type { FrontendDetail, NodeHeader } from "../sync/contract";
import { bestNode, buildBackendIndex } from "./backend-index";

const frontend = (...pools: Record<string, { address?: string }>[]) =>
  ({
    pools: Object.fromEntries(pools.map((members, order) => [`p${order}`, { members }])),
  }) as unknown as FrontendDetail;

describe("the backend index", () => {
  const members = buildBackendIndex({
    frontends: {
      "shop/web": frontend({ "shop/A": { address: "2001:DB8::1" } }, { "shop/b": {} }),
      "blog/www": frontend({ "shop/b": { address: "10.0.0.2" } }, { "shop/b": { address: "10.0.0.2" } }),
    },
  });

  it("lists the frontends of every pool once each, in order", () => {
    expect(members.users.get("shop/b")).toEqual(["blog/www", "shop/web"]);
    expect(members.users.get("shop/A")).toEqual(["shop/web"]);
    expect(members.users.get("shop/none")).toBeUndefined();
  });

  it("has search texts of names and addresses in lower case", () => {
    expect(members.searchTexts.get("shop/web")).toContain("shop/a");
    expect(members.searchTexts.get("shop/web")).toContain("2001:db8::1");
  });
});

describe("the node to load from", () => {
  const head = (reporting: boolean, frontends: number) => ({ reporting, frontends }) as NodeHeader;

  it("reports and has the most frontends", () => {
    expect(bestNode({ a: head(false, 9), b: head(true, 1), c: head(true, 3), d: head(true, 3) })).toBe("c");
    expect(bestNode({ a: head(false, 9) })).toBeUndefined();
  });
});

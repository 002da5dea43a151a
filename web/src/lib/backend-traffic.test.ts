// The traffic of a backend of several frontends.
import { describe, expect, it } from "vitest";
import type { FrontendPage, Member } from "../sync/contract";
import { backendTraffic } from "./backend-traffic";

const traffic = { packets: { total: 700, rate: 10 }, bytes: { total: 70_000, rate: 1000 }, vips: 2 };

/** A page of a frontend whose two pools have the backend. */
const page = (name: string, member: Partial<Member>) =>
  ({
    nodes: {
      "node-a": {
        frontends: { [name]: { pools: { p: { members: { a: member } }, q: { members: { a: member } } } } },
      },
    },
  }) as unknown as FrontendPage;

describe("traffic of a backend", () => {
  it("is counted once, and its flows are those of all frontends", () => {
    const pages = [page("shop/web", { traffic, flows: 7 }), page("shop/mail", { traffic, flows: 3 })];
    expect(backendTraffic("a", "node-a", pages)).toEqual({ traffic, flows: 10 });
  });

  it("is unknown where VPP does not report it", () => {
    const unknown = { traffic: undefined, flows: undefined };
    expect(backendTraffic("a", "node-a", [page("shop/web", {})])).toEqual(unknown);
    expect(backendTraffic("a", "node-b", [page("shop/web", { traffic })])).toEqual(unknown);
  });
});

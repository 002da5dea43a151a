// Addresses and places, both ways.
import { describe, expect, it } from "vitest";
import { formatRoute, HOME, MAX_OPEN, parseRoute, toggleFrontend, type Route } from "./route";

describe("an address", () => {
  it.each<[string, Route]>([
    ["#/", HOME],
    ["#/node/node-a", { ...HOME, node: "node-a" }],
    ["#/frontend/shop/web", { ...HOME, open: ["shop/web"] }],
    ["#/backend/shop/web-1", { ...HOME, backend: "shop/web-1" }],
    ["#/node/node-a/frontend/shop/web", { ...HOME, node: "node-a", open: ["shop/web"] }],
    ["#/?q=203.0.113&show=down", { ...HOME, query: "203.0.113", flag: "down" }],
    ["#/frontend/shop/web?also=shop/api,blog/www", { ...HOME, open: ["shop/api", "blog/www", "shop/web"] }],
    ["#/node/a%2Fb%20c", { ...HOME, node: "a/b c" }],
  ])("%s is a place, and the place has that address", (hash, route) => {
    expect(parseRoute(hash)).toEqual(route);
    expect(formatRoute(route)).toBe(hash);
  });

  it.each(["", "#", "#/nonsense", "#/frontend/only", "#/backend", "#/?show=nothing", "#/%E0%A4%A"])(
    "%s that says nothing known leads home",
    (hash) => {
      expect(parseRoute(hash)).toEqual(HOME);
    },
  );

  it("carries what was typed, whatever it is", () => {
    const route = { ...HOME, query: "a&b=c #é %" };
    expect(parseRoute(formatRoute(route))).toEqual(route);
  });

  it("opens and closes, the last one named first", () => {
    const first = toggleFrontend(HOME, "a/x");
    const two = toggleFrontend(first, "b/y");
    expect(formatRoute(two)).toBe("#/frontend/b/y?also=a/x");
    expect(toggleFrontend(two, "b/y").open).toEqual(["a/x"]);
  });

  it("opens no more than the stream carries: the one opened first closes", () => {
    const names = Array.from({ length: MAX_OPEN + 1 }, (_, index) => `a/x${index}`);
    const route = names.reduce(toggleFrontend, HOME);
    expect(route.open).toEqual(names.slice(1));
  });
});

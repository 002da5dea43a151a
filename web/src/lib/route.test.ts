// Parsing and formatting of routes.
import { describe, expect, it } from "vitest";
import { formatRoute, HOME, MAX_OPEN, parseRoute, toggleFrontend, type Route } from "./route";

describe("a route", () => {
  it.each<[string, Route]>([
    ["#/", HOME],
    ["#/node/node-a", { ...HOME, node: "node-a" }],
    ["#/frontend/shop/web", { ...HOME, open: ["shop/web"] }],
    ["#/backend/shop/web-1", { ...HOME, backend: "shop/web-1" }],
    ["#/node/node-a/frontend/shop/web", { ...HOME, node: "node-a", open: ["shop/web"] }],
    ["#/?q=203.0.113&show=down", { ...HOME, query: "203.0.113", flag: "down" }],
    ["#/frontend/shop/web?also=shop/api,blog/www", { ...HOME, open: ["shop/api", "blog/www", "shop/web"] }],
    ["#/node/a%2Fb%20c", { ...HOME, node: "a/b c" }],
  ])("is parsed from %s and formatted as that", (hash, route) => {
    expect(parseRoute(hash)).toEqual(route);
    expect(formatRoute(route)).toBe(hash);
  });

  it.each(["", "#", "#/nonsense", "#/frontend/only", "#/backend", "#/?show=nothing", "#/%E0%A4%A"])(
    "is the home route for the unknown hash %s",
    (hash) => {
      expect(parseRoute(hash)).toEqual(HOME);
    },
  );

  it("preserves any query", () => {
    const route = { ...HOME, query: "a&b=c #é %" };
    expect(parseRoute(formatRoute(route))).toEqual(route);
  });

  it("opens and closes frontends, the last one first in the address", () => {
    const first = toggleFrontend(HOME, "a/x");
    const two = toggleFrontend(first, "b/y");
    expect(formatRoute(two)).toBe("#/frontend/b/y?also=a/x");
    expect(toggleFrontend(two, "b/y").open).toEqual(["a/x"]);
  });

  it("closes the frontend that was opened first above the limit of the stream", () => {
    const names = Array.from({ length: MAX_OPEN + 1 }, (_, index) => `a/x${index}`);
    const route = names.reduce(toggleFrontend, HOME);
    expect(route.open).toEqual(names.slice(1));
  });
});

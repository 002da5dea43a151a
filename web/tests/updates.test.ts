// Live updates of the page.
import type { BrowserContextOptions, Page } from "playwright-core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { count, loseVpp, probe, setBackend, setProblems, silence } from "../mock/actions.js";
import { settled, UNTIL, useBrowser, visit } from "./browser.js";
import { flashes, recordFlashes } from "./flashes.js";
import { startMockServer, type MockServer } from "./mock-server.js";

let server: MockServer;
beforeEach(async () => (server = await startMockServer("healthy")));
afterEach(() => server.close());
useBrowser();

const row = (page: Page, name: string) => page.locator(`[data-name="${name}"] .table-row`);
const names = (page: Page) => page.locator(".rows .row-open").allInnerTexts();

async function open(hash = "", options: BrowserContextOptions = {}): Promise<Page> {
  const { page } = await visit("about:blank", options);
  await recordFlashes(page);
  await page.goto(`${server.url}${hash}`);
  await settled(page);
  return page;
}

function fail(frontend: string, count: number): void {
  for (let index = 1; index <= count; index++) setBackend(server.broker, `${frontend}-${index}`, "down");
}

describe("all nodes", () => {
  it("shows one sentence while everything is up, and counts of problems otherwise", async () => {
    const page = await open();
    await page.getByText("Everything is up: 6 VIPs, 14 backends on 2 nodes").waitFor(UNTIL);
    fail("shop/api", 2);
    await page.getByRole("button", { name: "1 on standby" }).waitFor(UNTIL);
    fail("shop/web", 4);
    await page.getByRole("button", { name: "2 VIPs down" }).waitFor(UNTIL);
    expect(await page.title()).toBe("2 VIPs down · maglev");
    await expect.poll(() => page.locator("[aria-live=polite]").innerText(), UNTIL).toContain("VIPs down");
    expect(await row(page, "shop/web").innerText()).toContain("all backends L4TOUT");
  });

  it("puts rows with problems first", async () => {
    const page = await open();
    await row(page, "shop/web").waitFor(UNTIL);
    fail("shop/api", 2);
    await expect.poll(async () => (await names(page))[0], UNTIL).toBe("shop/api");
    fail("shop/web", 4);
    await expect
      .poll(() => names(page), UNTIL)
      .toEqual(["shop/web", "shop/web-plain", "shop/api", "blog/www", "dns/resolver", "lab/everything"]);
  });

  it("holds its order under the pointer, and updates it when the pointer leaves", async () => {
    const page = await open();
    await row(page, "blog/www").hover();
    await page.mouse.move(300, 250);
    const before = await names(page);
    fail("shop/web", 4);
    await expect.poll(() => row(page, "shop/web").innerText(), UNTIL).toContain("down");
    expect(await names(page)).toEqual(before);
    await page.getByText("order held while the pointer or focus is here").waitFor(UNTIL);
    await page.mouse.move(10, 10);
    await expect.poll(async () => (await names(page))[0], UNTIL).toBe("shop/web");
  });

  it("holds its order while a row has the focus", async () => {
    const page = await open();
    await row(page, "blog/www").waitFor(UNTIL);
    await page.keyboard.press("j");
    const before = await names(page);
    fail("shop/web", 4);
    await expect.poll(() => row(page, "shop/web").innerText(), UNTIL).toContain("down");
    expect(await names(page)).toEqual(before);
  });

  it("flashes only what changed, not at first, and not with reduced motion", async () => {
    const page = await open();
    const reduced = await open("", { reducedMotion: "reduce" });
    await row(page, "blog/www").waitFor(UNTIL);
    await row(reduced, "blog/www").waitFor(UNTIL);
    expect(await flashes(page)).toEqual([]);
    fail("blog/www", 1);
    await expect.poll(() => flashes(page), UNTIL).toContain("blog/www");
    const rows = (await flashes(page)).filter((name) => name.includes("/"));
    expect(new Set(rows)).toEqual(new Set(["blog/www"]));
    await expect.poll(() => row(reduced, "blog/www").innerText(), UNTIL).toContain("2/3");
    expect(await flashes(reduced)).toEqual([]);
  });

  it("filters by a count, and keeps the filter in the address", async () => {
    const page = await open();
    await row(page, "shop/web").waitFor(UNTIL);
    fail("shop/web", 4);
    const tile = page.getByRole("button", { name: "2 VIPs down" });
    await tile.click();
    await expect.poll(() => names(page), UNTIL).toEqual(["shop/web", "shop/web-plain"]);
    await expect.poll(() => page.url(), UNTIL).toContain("show=down");
    expect(await tile.getAttribute("aria-pressed")).toBe("true");
    await tile.click();
    await expect.poll(async () => (await names(page)).length, UNTIL).toBe(6);
  });

  it("shows a silent node with its age and error, and excludes it from the totals", async () => {
    const page = await open();
    await row(page, "shop/web").waitFor(UNTIL);
    silence(server.broker, "node-b", true);
    await page.getByText("1 of 2 nodes reporting").waitFor(UNTIL);
    expect(await page.locator(".attention").innerText()).toMatch(
      /node node-b[^]*silent for \d+ s – dial tcp/,
    );
    expect(await row(page, "shop/web").locator(".cell-stale").count()).toBe(1);
    await page.getByRole("button", { name: "More about node node-b" }).click();
    expect(await page.locator(".attention code").first().innerText()).toBe(
      "kubectl --namespace maglev-system logs maglevd-bx7k2",
    );
  });

  it("samples traffic at a fixed interval, however often rates change", async () => {
    const page = await open("#/frontend/shop/web");
    await page.locator(".details .numbers").waitFor(UNTIL);
    for (let round = 0; round < 30; round++) count(server.broker);
    const line = () => page.locator(".line-rate").getAttribute("d");
    await expect.poll(line, UNTIL).toMatch(/^M.*L/);
    // Two samples five seconds apart, or a few more on a busy machine; thirty would be one per change.
    expect((await line())?.split("L").length).toBeLessThan(10);
  });

  it("names the nodes that differ", async () => {
    const page = await open("#/frontend/blog/www");
    await page.locator(".details .pools").waitFor(UNTIL);
    setBackend(server.broker, "blog/www-2", "down", { nodes: ["node-b"] });
    const line = page.locator(".pools tr", { hasText: "blog/www-2" });
    await expect.poll(() => line.innerText(), UNTIL).toMatch(/up[^]*down[^]*on node-b/);
  });

  it("shows problems of objects that have no row", async () => {
    const page = await open();
    await row(page, "shop/web").waitFor(UNTIL);
    setProblems(server.broker, "HealthCheck dns/icmp", [
      { reason: "MissingCapability", field: "spec.type", message: "this build does not probe ICMP" },
    ]);
    await expect.poll(() => page.locator(".attention").innerText(), UNTIL).toContain("MissingCapability");
  });

  it("lists a transition once for all nodes", async () => {
    const page = await open();
    await row(page, "shop/web").waitFor(UNTIL);
    setBackend(server.broker, "blog/www-2", "down", { code: "L7STS" });
    const line = page.locator(".transitions li", { hasText: "blog/www-2" });
    await line.waitFor(UNTIL);
    expect(await line.count()).toBe(1);
    expect((await line.innerText()).replace(/\s+/g, " ")).toMatch(
      /backend blog\/www-2 up → down L7STS 2 of 2 nodes/,
    );
  });
});

describe("a backend's page", () => {
  it("opens from its address, shows the state on every node, and follows it", async () => {
    const page = await open("#/backend/shop/web-1");
    await expect.poll(() => page.locator(".backend-page .node-cells tbody tr").count(), UNTIL).toBe(2);
    expect(await page.locator(".users").innerText()).toMatch(/shop\/web[^]*shop\/web-plain/);
    expect(await page.locator(".backend-page code").first().innerText()).toContain(
      "backends.maglev.vpp.io web-1",
    );
    setBackend(server.broker, "shop/web-1", "down", { nodes: ["node-b"] });
    await expect
      .poll(() => page.locator(".backend-page .node-cells tbody tr").nth(1).innerText(), UNTIL)
      .toContain("down");
  });
});

describe("a node's tab", () => {
  it("has a live card per frontend with a bar of buckets", async () => {
    const page = await open("#/node/node-a");
    const card = page.locator('[data-name="shop/api"]');
    await card.locator(".pools").waitFor(UNTIL);
    expect(await card.locator(".bar rect").count()).toBe(2);
    fail("shop/api", 2);
    await expect.poll(() => card.locator(".card-state").innerText(), UNTIL).toContain("standby");
    expect(await card.locator(".pool-head", { hasText: "pool standby" }).innerText()).toMatch(
      /^pool standby active$/,
    );
    await expect.poll(() => flashes(page), UNTIL).toContain("shop/api");
    expect(await flashes(page)).not.toContain("blog/www");
  });

  it("does not flash for traffic", async () => {
    const page = await open("#/node/node-a");
    const rate = page.locator('[data-name="shop/api"] .card-rate');
    const before = await rate.innerText(UNTIL);
    for (let round = 0; round < 3; round++) count(server.broker);
    await expect.poll(() => rate.innerText(), UNTIL).not.toBe(before);
    expect(await flashes(page)).toEqual([]);
  });

  it("shows heartbeats of the backends on screen until motion is paused", async () => {
    const page = await open("#/node/node-a");
    await page.locator(".card .pools").first().waitFor(UNTIL);
    const subscribed = () => [...server.broker.clients].flatMap((client) => client.filter.beats);
    await expect.poll(() => subscribed().length, UNTIL).toBeGreaterThan(0);
    const beats = setInterval(() => probe(server.broker, "done"), 100);
    await page.locator(".heartbeat svg").first().waitFor(UNTIL);
    clearInterval(beats);
    expect(await page.locator(".heartbeat").first().getAttribute("aria-hidden")).toBe("true");
    await page.keyboard.press("p");
    await expect.poll(() => subscribed(), UNTIL).toEqual([]);
    expect(await page.locator(".heartbeat svg").count()).toBe(0);
  });

  it("shows no heartbeats above fifty rows on screen, and gives the reason", async () => {
    const wide = await startMockServer("wide");
    const { page } = await visit(`${wide.url}#/node/node-a`, {
      viewport: { width: 1440, height: 3000 },
    });
    await page.getByText("no heartbeats: more than 50 rows on screen").waitFor(UNTIL);
    expect(await page.locator(".heartbeat").count()).toBe(60);
    await expect
      .poll(() => [...wide.broker.clients].flatMap(({ filter }) => filter.beats), UNTIL)
      .toEqual([]);
    await wide.close();
  });

  it("shows no heartbeats with reduced motion", async () => {
    const page = await open("#/node/node-a", { reducedMotion: "reduce" });
    await page
      .locator(".heartbeat")
      .first()
      .waitFor({ state: "attached", ...UNTIL });
    // The heartbeats would arrive before this line.
    probe(server.broker, "done");
    server.broker.log("node-a", [{ level: "info", name: "config-applied", attributes: [["name", "after"]] }]);
    await page.locator(".event", { hasText: "after" }).waitFor(UNTIL);
    expect([...server.broker.clients].flatMap(({ filter }) => filter.beats)).toEqual([]);
    expect(await page.locator(".heartbeat svg").count()).toBe(0);
  });

  it("shows that VPP is lost", async () => {
    const page = await open("#/node/node-a");
    await page.locator(".vpp dl").first().waitFor(UNTIL);
    loseVpp(server.broker, "node-a", true);
    await expect.poll(() => page.locator(".vpp").innerText(), UNTIL).toContain("not connected");
    expect(await page.locator(".node-title").innerText()).toContain("VPP lost");
  });

  it("shows that a node was removed", async () => {
    const page = await open("#/node/node-b");
    await page.locator(".card").first().waitFor(UNTIL);
    server.broker.change([...server.broker.world.frontends.keys()], ["node-b"], () => {
      server.broker.world.nodes.delete("node-b");
    });
    await page.getByText("No node node-b.").waitFor(UNTIL);
  });
});

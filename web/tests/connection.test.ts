// The page while the connection is broken, the server restarts, or the machine sleeps: it shows that its state may be
// old, and then the present state again.
import type { Page } from "playwright-core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { setBackend, silence } from "../mock/actions.js";
import { recordRequests, settled, UNTIL, useBrowser, visit } from "./browser.js";
import { flashes, recordFlashes } from "./flashes.js";
import { startMockServer, type MockServer } from "./mock-server.js";

let server: MockServer;
beforeEach(async () => (server = await startMockServer("healthy")));
afterEach(() => server.close());
useBrowser();

const row = (page: Page, name: string) => page.locator(`[data-name="${name}"] .table-row`);
const state = (page: Page, name: string) => row(page, name).locator(".word").innerText();

/** The page with its rows and all documents. */
async function open(): Promise<Page> {
  const { page } = await visit("about:blank");
  await recordFlashes(page);
  await page.goto(server.url);
  await row(page, "shop/web").waitFor(UNTIL);
  await settled(page);
  return page;
}

describe("the connection", () => {
  it("shows a placeholder while the first state is fetched", async () => {
    server.http.delay = 1000;
    const { page } = await visit(server.url);
    await page.getByText("Loading the state of all nodes…").waitFor(UNTIL);
    await row(page, "shop/web").waitFor(UNTIL);
  });

  it("shows that the server does not respond, and recovers as soon as it does", async () => {
    const { page } = await visit("about:blank");
    await page.route("**/api/**", (route) => route.abort());
    await page.goto(server.url);
    await page.getByText("The dashboard's server does not respond.").waitFor(UNTIL);
    await page.unroute("**/api/**");
    await row(page, "shop/web").waitFor(UNTIL);
  });

  it("recovers from a short break without a fetch and without a banner", async () => {
    const page = await open();
    const requested = recordRequests(page);
    server.http.breakStreams();
    for (let index = 1; index <= 4; index++) setBackend(server.broker, `shop/web-${index}`, "down");
    await expect.poll(() => state(page, "shop/web"), UNTIL).toBe("down");
    expect(await page.locator(".banner").count()).toBe(0);
    expect(requested.every((path) => path.startsWith("events"))).toBe(true);
  });

  it("shows a long break with the age of the state, and then is live again", async () => {
    const page = await open();
    server.http.unavailable = true;
    server.http.breakStreams();
    await page.getByText("Not live.").waitFor(UNTIL);
    expect(await page.locator(".banner").innerText()).toMatch(
      /Disconnected for \d+ [sm]\. The page shows the state at \d\d:\d\d:\d\d/,
    );
    expect(await page.title()).toContain("not live");
    expect(await page.locator("[aria-live]").innerText()).toBe("This page is not live");
    expect(await state(page, "shop/web")).toBe("up");
    silence(server.broker, "node-b", true);
    server.http.unavailable = false;
    await page.locator(".banner").waitFor({ state: "detached", ...UNTIL });
    await expect
      .poll(() => page.locator(".reporting").innerText(), UNTIL)
      .toContain("1 of 2 nodes reporting");
  });

  it("fetches everything anew from another replica, and flashes only what differs", async () => {
    const page = await open();
    const requested = recordRequests(page);
    server.http.unavailable = true;
    server.http.breakStreams();
    for (let index = 1; index <= 4; index++) setBackend(server.broker, `shop/web-${index}`, "down");
    server.broker.replica = "another";
    server.broker.ring = [];
    server.http.unavailable = false;
    await expect.poll(() => state(page, "shop/web"), UNTIL).toBe("down");
    expect(requested).toContain("summary");
    const flashed = await flashes(page);
    expect(flashed).toContain("shop/web");
    expect(flashed).not.toContain("blog/www");
  });

  it("opens a fresh stream after sleep", async () => {
    const { page } = await visit("about:blank");
    await page.clock.install();
    await page.goto(server.url);
    await row(page, "shop/web").waitFor(UNTIL);
    await settled(page);
    const requested = recordRequests(page);
    // Like a lid that is closed for an hour: timers fire at most once.
    await page.clock.fastForward("01:00:00");
    await expect.poll(() => requested, UNTIL).toContain("summary");
    expect(requested[0]).toBe("events?log=all");
  });

  it("offers a reload when the server has a newer version", async () => {
    const page = await open();
    server.broker.version = "0.4.0";
    server.http.breakStreams();
    await page.getByText("A newer version of this page is available (0.4.0).").waitFor(UNTIL);
  });

  it("requests in one stream exactly what is shown", async () => {
    const page = await open();
    const requested = recordRequests(page);
    await row(page, "shop/web").locator(".row-open").click();
    await page.locator(".details .pools").waitFor(UNTIL);
    expect(requested[0]).toMatch(/^events\?open=shop%2Fweb&log=all&since=[0-9a-f]+-\d+$/);
    expect(requested[1]).toBe("frontend/shop/web");
    await expect.poll(() => server.broker.clients.size, UNTIL).toBe(1);
    await page.keyboard.press("2");
    await page.locator(".card").first().waitFor(UNTIL);
    await expect.poll(() => server.broker.clients.size, UNTIL).toBe(1);
  });
});

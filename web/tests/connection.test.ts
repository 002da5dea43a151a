// What the page does when the connection breaks, the server restarts, or the machine sleeps: it says so, and then
// shows the truth again.
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { setBackend, silence } from "../mock/actions.js";
import { launch, requests, visit } from "./browser.js";
import { startMockServer, type MockServer } from "./mock-server.js";
import { flashes, recordFlashes } from "./flashes.js";

const UNTIL = { timeout: 30_000 };

let browser: Browser;
let server: MockServer;
beforeAll(async () => (browser = await launch()));
afterAll(() => browser.close());
beforeEach(async () => (server = await startMockServer("healthy", { simulate: false })));
afterEach(() => server.close());

const row = (page: Page, name: string) => page.locator(`[data-name="${name}"] .table-row`);
const state = (page: Page, name: string) => row(page, name).locator(".word").innerText();

describe("the connection", () => {
  it("is waited for with words while the first state is fetched", async () => {
    server.mock.delay = 1000;
    const { page } = await visit(browser, server.url);
    await page.getByText("Fetching the state of all nodes…").waitFor(UNTIL);
    await row(page, "shop/web").waitFor(UNTIL);
    await page.context().close();
  });

  it("that is not there at all is said, and found as soon as it is", async () => {
    const { page } = await visit(browser, "about:blank");
    await page.route("**/api/**", (route) => route.abort());
    await page.goto(server.url);
    await page.getByText("The dashboard's server does not answer.").waitFor(UNTIL);
    await page.unroute("**/api/**");
    await row(page, "shop/web").waitFor(UNTIL);
    await page.context().close();
  });

  it("that breaks is healed without fetching anything, and without a word", async () => {
    const { page } = await visit(browser, server.url);
    await row(page, "shop/web").waitFor(UNTIL);
    const asked = requests(page);
    server.mock.cut();
    for (let index = 1; index <= 4; index++) setBackend(server.broker, `shop/web-${index}`, "down");
    await expect.poll(() => state(page, "shop/web"), UNTIL).toBe("down");
    expect(await page.locator(".banner").count()).toBe(0);
    expect(asked.every((path) => path.startsWith("events"))).toBe(true);
    await page.context().close();
  });

  it("that stays away is said, with the age of what is shown, and then it is live again", async () => {
    const { page } = await visit(browser, server.url);
    await row(page, "shop/web").waitFor(UNTIL);
    server.mock.unavailable = true;
    server.mock.cut();
    await page.getByText("Not live.").waitFor(UNTIL);
    expect(await page.locator(".banner").innerText()).toMatch(
      /The connection is lost for \d+ s\. This is the state of/,
    );
    expect(await page.title()).toContain("not live");
    expect(await page.locator("[aria-live]").innerText()).toBe("This page is not live");
    expect(await state(page, "shop/web")).toBe("up");
    silence(server.broker, "node-b", true);
    server.mock.unavailable = false;
    await page.locator(".banner").waitFor({ state: "detached", ...UNTIL });
    await expect
      .poll(() => page.locator(".reporting").innerText(), UNTIL)
      .toContain("1 of 2 nodes reporting");
    await page.context().close();
  });

  it("to another replica fetches everything anew, and only what differs flashes", async () => {
    const { page } = await visit(browser, "about:blank");
    await recordFlashes(page);
    await page.goto(server.url);
    await row(page, "shop/web").waitFor(UNTIL);
    const asked = requests(page);
    server.mock.unavailable = true;
    server.mock.cut();
    for (let index = 1; index <= 4; index++) setBackend(server.broker, `shop/web-${index}`, "down");
    server.broker.replica = "another";
    server.broker.ring = [];
    server.mock.unavailable = false;
    await expect.poll(() => state(page, "shop/web"), UNTIL).toBe("down");
    expect(asked).toContain("summary");
    const flashed = await flashes(page);
    expect(flashed).toContain("shop/web");
    expect(flashed).not.toContain("blog/www");
    await page.context().close();
  });

  it("is opened afresh after sleep", async () => {
    const { page } = await visit(browser, "about:blank");
    await page.clock.install();
    await page.goto(server.url);
    await row(page, "shop/web").waitFor(UNTIL);
    const asked = requests(page);
    // As a lid that is closed for an hour: timers fire at most once.
    await page.clock.fastForward("01:00:00");
    await expect.poll(() => asked, UNTIL).toContain("summary");
    expect(asked[0]).toBe("events?log=all");
    await page.context().close();
  });

  it("of a newer version offers to reload", async () => {
    const { page } = await visit(browser, server.url);
    await row(page, "shop/web").waitFor(UNTIL);
    server.broker.version = "0.4.0";
    server.mock.cut();
    await page.getByText("A newer version of this page is served (0.4.0).").waitFor(UNTIL);
    await page.context().close();
  });

  it("asks by one stream for just what is shown", async () => {
    const { page } = await visit(browser, server.url);
    await row(page, "shop/web").waitFor(UNTIL);
    const asked = requests(page);
    await row(page, "shop/web").locator(".row-open").click();
    await page.locator(".details .pools").waitFor(UNTIL);
    expect(asked[0]).toMatch(/^events\?open=shop%2Fweb&log=all&since=[0-9a-f]+-\d+$/);
    expect(asked[1]).toBe("frontend/shop/web");
    await expect.poll(() => server.broker.clients.size, UNTIL).toBe(1);
    await page.keyboard.press("2");
    await page.locator(".card").first().waitFor(UNTIL);
    await expect.poll(() => server.broker.clients.size, UNTIL).toBe(1);
    await page.context().close();
  });
});

// The page at full size: 10 nodes, 1,000 frontends, 10,000 backends. The number of elements stays small at any size of
// the fleet. Durations are measured by `npm run measure`, not here: a time limit would fail on a busy machine.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { setBackend } from "../mock/actions.js";
import { UNTIL, useBrowser, visit } from "./browser.js";
import { DIST, startMockServer, type MockServer } from "./mock-server.js";

const MAX_SCRIPT_BYTES = 60_000;
const MAX_ELEMENTS = 4000;

let server: MockServer;
beforeAll(async () => (server = await startMockServer("big")));
afterAll(() => server.close());
useBrowser();

const elements = (page: Page) => page.evaluate(() => document.querySelectorAll("*").length);
const rows = (page: Page) => page.locator(".rows .row-open");

describe("a thousand frontends on ten nodes", () => {
  it("need a script within its size budget", () => {
    expect(gzipSync(readFileSync(`${DIST}/app.js`)).length).toBeLessThan(MAX_SCRIPT_BYTES);
  });

  it("are a few dozen elements in a list of the full height", async () => {
    const { page } = await visit(server.url);
    await rows(page).first().waitFor(UNTIL);
    expect(await page.getByRole("table", { name: "Frontends" }).getAttribute("aria-rowcount")).toBe("1001");
    expect(await elements(page)).toBeLessThan(MAX_ELEMENTS);
    const list = page.locator(".rows");
    expect(await list.evaluate((element) => (element as HTMLElement).offsetHeight)).toBeGreaterThan(
      1000 * 28 - 1,
    );
    await page.locator(".overview-main").evaluate((element) => (element.scrollTop = element.scrollHeight));
    await page.locator('[data-name="team-24/service-0999"]').waitFor(UNTIL);
    expect(await elements(page)).toBeLessThan(MAX_ELEMENTS);
  });

  it("are found by a backend's name, and reached by keyboard", async () => {
    const { page } = await visit(server.url);
    await rows(page).first().waitFor(UNTIL);
    await page.keyboard.press("/");
    await page.keyboard.type("service-0431-7");
    await expect.poll(() => rows(page).allInnerTexts(), UNTIL).toEqual(["team-06/service-0431"]);
    await page.keyboard.press("Escape");
    for (let index = 0; index < 60; index++) await page.keyboard.press("j");
    await expect
      .poll(() => page.evaluate(() => document.activeElement?.closest("[data-name]") !== null), UNTIL)
      .toBe(true);
  });

  it("are opened and scrolled to from an address", async () => {
    const { page } = await visit(`${server.url}#/frontend/team-24/service-0999`);
    const row = page.locator('[data-name="team-24/service-0999"]');
    await row.locator(".details .pools").waitFor(UNTIL);
    await expect
      .poll(() => row.locator(".row-open").evaluate((element) => element.getBoundingClientRect().top), UNTIL)
      .toBeLessThan(900);
  });

  it("show a change of one of them", async () => {
    const { page } = await visit(`${server.url}#/?q=service-0500`);
    await rows(page).first().waitFor(UNTIL);
    for (let member = 0; member < 10; member++)
      setBackend(server.broker, `team-00/service-0500-${member}`, "down");
    await expect.poll(() => page.locator(".rows .word").innerText(), UNTIL).toBe("down");
  });

  it("are closed cards on a node's tab, opened one by one", async () => {
    const { page } = await visit(`${server.url}#/node/node-c`);
    await page.locator(".card").first().waitFor(UNTIL);
    expect(await elements(page)).toBeLessThan(MAX_ELEMENTS);
    await page.locator(".card-open").nth(3).click();
    await page.locator(".card .pools").waitFor(UNTIL);
    expect(await page.locator(".card .pools").count()).toBe(1);
    await page.locator(".tallies").getByRole("button", { name: "standby" }).click();
    await expect.poll(() => page.locator(".card").count(), UNTIL).toBe(5);
  });
});

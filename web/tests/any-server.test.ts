// What holds of the page on any server: run against the mock, or with MAGLEV_DASHBOARD_URL against a real one.
import axe from "axe-core";
import type { AxeResults } from "axe-core";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launch, PHONE, sideways, visit } from "./browser.js";
import { startMockServer, type MockServer } from "./mock-server.js";

const UNTIL = { timeout: 30_000 };

let browser: Browser;
let mock: MockServer | undefined;
let url: string;

beforeAll(async () => {
  browser = await launch();
  const given = process.env["MAGLEV_DASHBOARD_URL"];
  if (given === undefined) mock = await startMockServer("incident", { simulate: true });
  url = given ?? mock?.url ?? "";
});

afterAll(async () => {
  await browser.close();
  await mock?.close();
});

const firstRow = (page: Page) => page.locator(".rows .row-open").first();

/** Serious and critical issues, as lines to read. */
async function issues(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const results = await page.evaluate<AxeResults>(() => (window as unknown as { axe: typeof axe }).axe.run());
  return results.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) =>
      nodes.map(({ target, failureSummary }) => `${id} ${target.join(" ")} ${failureSummary ?? ""}`),
    );
}

async function firstNode(page: Page): Promise<string> {
  const value = await page.locator(".tabs option").nth(1).getAttribute("value");
  if (value === null) throw new Error("no node");
  return value;
}

describe("the page on any server", () => {
  it("shows rows, keeps to its policy and makes no mistake", async () => {
    const { page, complaints } = await visit(browser, url);
    await firstRow(page).waitFor(UNTIL);
    expect(await page.title()).toContain("maglev");
    expect(await page.locator(".reporting").innerText()).toMatch(/\d+ of \d+ nodes reporting/);
    expect(await page.locator("h1").innerText()).toMatch(/^maglev v\S+/);
    // One region speaks, politely; two would talk at once.
    expect(await page.locator("[aria-live], [role=status], [role=alert], [role=log]").count()).toBe(1);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("opens a frontend in place, has an address for it, and the back button closes it", async () => {
    const { page, complaints } = await visit(browser, url);
    const name = await firstRow(page).innerText();
    await firstRow(page).click();
    await page.locator(".details .pools").waitFor(UNTIL);
    expect(page.url()).toContain(`#/frontend/${name.trim()}`);
    expect(await page.locator(".details .command code").first().innerText()).toContain("kubectl");
    await page.goBack();
    await page.locator(".details").waitFor({ state: "detached", ...UNTIL });
    await page.goForward();
    await page.locator(".details .pools").waitFor(UNTIL);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("leads from an address straight to the opened frontend", async () => {
    const { page: first } = await visit(browser, url);
    const name = (await firstRow(first).innerText()).trim();
    await first.context().close();
    const { page } = await visit(browser, `${url}#/frontend/${name}`);
    await page.locator(`[data-name="${name}"] .details .pools`).waitFor(UNTIL);
    await page.context().close();
  });

  it("has a tab per node with its frontends, events and VPP, and remembers the choice", async () => {
    const { page, complaints } = await visit(browser, url);
    await firstRow(page).waitFor(UNTIL);
    const node = await firstNode(page);
    await page.keyboard.press("2");
    await page.locator(".node-title").getByText(node).first().waitFor(UNTIL);
    await page.locator(".card").first().waitFor(UNTIL);
    expect(await page.locator(".events").count()).toBe(1);
    expect(await page.locator(".vpp dl").first().innerText()).toMatch(/\S/);
    await page.goto("about:blank");
    await page.goto(url);
    await page.locator(".node-title").waitFor(UNTIL);
    expect(page.url()).toContain(`#/node/${node}`);
    await page.goBack().catch(() => undefined);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("filters by words, and says when nothing matches", async () => {
    const { page } = await visit(browser, url);
    const name = (await firstRow(page).innerText()).trim();
    await page.keyboard.press("/");
    await page.keyboard.type(name);
    await expect.poll(() => page.locator(".rows .row-open").count(), UNTIL).toBeGreaterThan(0);
    for (const text of await page.locator(".rows .row-open").allInnerTexts()) expect(text).toContain(name);
    await page.keyboard.type(" no-such-thing");
    await page.getByText("Nothing matches.").waitFor(UNTIL);
    await page.keyboard.press("Escape");
    await expect.poll(() => page.locator(".rows .row-open").count(), UNTIL).toBeGreaterThan(0);
    await page.context().close();
  });

  describe.each(["dark", "light"] as const)("in %s", (colorScheme) => {
    it.each(["#/", "open", "#/node/"])("axe finds nothing serious at %s", async (where) => {
      const { page } = await visit(browser, url, { colorScheme });
      await firstRow(page).waitFor(UNTIL);
      if (where === "open") {
        await firstRow(page).click();
        await page.locator(".details .pools").waitFor(UNTIL);
      } else if (where === "#/node/") {
        await page.goto(`${url}#/node/${await firstNode(page)}`);
        await page.locator(".card").first().waitFor(UNTIL);
      }
      expect(await issues(page)).toEqual([]);
      await page.context().close();
    });

    it("axe finds nothing serious on a phone, which scrolls in one direction only", async () => {
      const { page } = await visit(browser, url, { ...PHONE, colorScheme });
      await firstRow(page).waitFor(UNTIL);
      expect(await sideways(page)).toBe(0);
      await firstRow(page).click();
      await page.locator(".details .pools").waitFor(UNTIL);
      expect(await sideways(page)).toBe(0);
      expect(await issues(page)).toEqual([]);
      await page.goto(`${url}#/node/${await firstNode(page)}`);
      await page.locator(".card").first().waitFor(UNTIL);
      expect(await page.locator(".tabs select").inputValue()).toBe(await firstNode(page));
      expect(await sideways(page)).toBe(0);
      expect(await issues(page)).toEqual([]);
      await page.context().close();
    });
  });
});

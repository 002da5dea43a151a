// Properties of the page on any server: the mock, or the server that MAGLEV_DASHBOARD_URL names.
import axe from "axe-core";
import type { AxeResults } from "axe-core";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { horizontalOverflow, PHONE, settled, UNTIL, useBrowser, visit } from "./browser.js";
import { startMockServer, type MockServer } from "./mock-server.js";

let mock: MockServer | undefined;
let url: string;

beforeAll(async () => {
  const serverUrl = process.env["MAGLEV_DASHBOARD_URL"];
  if (serverUrl === undefined) mock = await startMockServer("incident", { simulate: true });
  url = serverUrl ?? mock?.url ?? "";
});

afterAll(() => mock?.close());
useBrowser();

const firstRow = (page: Page) => page.locator(".rows .row-open").first();

/** Serious and critical violations, one line each. */
async function violations(page: Page): Promise<string[]> {
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
  it("shows rows without a script error or a violation of its Content-Security-Policy", async () => {
    const { page, errors } = await visit(url);
    await firstRow(page).waitFor(UNTIL);
    await settled(page);
    expect(await page.title()).toContain("maglev");
    expect(await page.locator(".reporting").innerText()).toMatch(/\d+ of \d+ nodes reporting/);
    expect(await page.locator("h1").innerText()).toMatch(/^maglev v\S+/);
    // Only one live region, and a polite one: two would interrupt each other.
    expect(await page.locator("[aria-live], [role=status], [role=alert], [role=log]").count()).toBe(1);
    expect(errors).toEqual([]);
  });

  it("opens a frontend in place at an address of its own, and the back button closes it", async () => {
    const { page, errors } = await visit(url);
    const name = await firstRow(page).innerText();
    await firstRow(page).click();
    await page.locator(".details .pools").waitFor(UNTIL);
    expect(page.url()).toContain(`#/frontend/${name.trim()}`);
    expect(await page.locator(".details .command code").first().innerText()).toContain("kubectl");
    await page.goBack();
    await page.locator(".details").waitFor({ state: "detached", ...UNTIL });
    await page.goForward();
    await page.locator(".details .pools").waitFor(UNTIL);
    expect(errors).toEqual([]);
  });

  it("opens a frontend directly from its address", async () => {
    const { page: first } = await visit(url);
    const name = (await firstRow(first).innerText()).trim();
    await first.context().close();
    const { page } = await visit(`${url}#/frontend/${name}`);
    await page.locator(`[data-name="${name}"] .details .pools`).waitFor(UNTIL);
  });

  it("has a tab per node with its frontends, events and VPP, and remembers the choice", async () => {
    const { page, errors } = await visit(url);
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
    expect(errors).toEqual([]);
  });

  it("filters by words, and shows when nothing matches", async () => {
    const { page } = await visit(url);
    const name = (await firstRow(page).innerText()).trim();
    await page.keyboard.press("/");
    await page.keyboard.type(name);
    const rowNames = () => page.locator(".rows .row-open").allInnerTexts();
    await expect.poll(async () => (await rowNames()).every((text) => text.includes(name)), UNTIL).toBe(true);
    expect(await page.locator(".rows .row-open").count()).toBeGreaterThan(0);
    await page.keyboard.type(" no-such-thing");
    await page.getByText("No frontend matches the filter.").waitFor(UNTIL);
    await page.keyboard.press("Escape");
    await expect.poll(() => page.locator(".rows .row-open").count(), UNTIL).toBeGreaterThan(0);
  });

  describe.each(["dark", "light"] as const)("in %s", (colorScheme) => {
    it.each(["#/", "open", "#/node/"])("has no serious axe violation at %s", async (view) => {
      const { page } = await visit(url, { colorScheme });
      await firstRow(page).waitFor(UNTIL);
      if (view === "open") {
        await firstRow(page).click();
        await page.locator(".details .pools").waitFor(UNTIL);
      } else if (view === "#/node/") {
        await page.goto(`${url}#/node/${await firstNode(page)}`);
        await page.locator(".card").first().waitFor(UNTIL);
      }
      expect(await violations(page)).toEqual([]);
    });

    it("has no serious axe violation and no horizontal scrolling on a phone", async () => {
      const { page } = await visit(url, { ...PHONE, colorScheme });
      await firstRow(page).waitFor(UNTIL);
      expect(await horizontalOverflow(page)).toBe(0);
      await firstRow(page).click();
      await page.locator(".details .pools").waitFor(UNTIL);
      expect(await horizontalOverflow(page)).toBe(0);
      expect(await violations(page)).toEqual([]);
      await page.goto(`${url}#/node/${await firstNode(page)}`);
      await page.locator(".card").first().waitFor(UNTIL);
      expect(await page.locator(".tabs select").inputValue()).toBe(await firstNode(page));
      expect(await horizontalOverflow(page)).toBe(0);
      expect(await violations(page)).toEqual([]);
    });
  });
});

// The mark of the path of a VIP's packets, beside the heart of each backend.
import type { BrowserContextOptions, Page } from "playwright-core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { setPath } from "../mock/actions.js";
import { PHONE, settled, UNTIL, useBrowser, visit } from "./browser.js";
import { flashes, recordFlashes } from "./flashes.js";
import { startMockServer, type MockServer } from "./mock-server.js";

let server: MockServer;
beforeEach(async () => (server = await startMockServer("healthy")));
afterEach(() => server.close());
useBrowser();

const TIMEOUT = { state: "PathTimeout", detail: "no answer from the VIP to a SYN in the tunnel" } as const;

async function open(hash: string, options: BrowserContextOptions = {}): Promise<Page> {
  const { page } = await visit("about:blank", options);
  await recordFlashes(page);
  await page.goto(`${server.url}${hash}`);
  await page.locator(".pools").first().waitFor(UNTIL);
  await settled(page);
  return page;
}

const line = (page: Page, frontend: string, backend: string) =>
  page.locator(`[data-name="${frontend}"] .pools tr`, { hasText: backend });

const mark = (page: Page, frontend: string, backend: string) =>
  line(page, frontend, backend).locator(".marks").getByRole("img");

const stateCell = (page: Page, frontend: string, backend: string) =>
  line(page, frontend, backend).locator("[data-label=State]");

describe("the path on a node's tab", () => {
  it("is marked beside the heart, with its state, time and detail in the tooltip", async () => {
    const page = await open("#/node/node-a");
    const web1 = mark(page, "shop/web", "shop/web-1");
    expect(await web1.getAttribute("aria-label")).toBe("VIP path: PathOK");
    expect(await web1.getAttribute("title")).toMatch(
      /^VIP path: PathOK\nsince \d{4}-[\d-]+ [\d:.]+ UTC\nthe VIP answers through the tunnel\nIn mode Report, weights do not follow the path\.$/,
    );
    expect(await stateCell(page, "shop/web", "shop/web-1").innerText()).toBe("up L7OK");
    const heart = await line(page, "shop/web", "shop/web-1").locator(".heartbeat").boundingBox();
    const box = await web1.boundingBox();
    expect(box?.y).toBe(heart?.y);
    expect(box?.x).toBeGreaterThan((heart?.x ?? 0) + (heart?.width ?? 0) - 1);
    expect(box?.x).toBeLessThan((heart?.x ?? 0) + (heart?.width ?? 0) + 8);
  });

  it("changes shape and colour when it fails, and moves and flashes nothing else", async () => {
    const page = await open("#/node/node-a");
    const glyph = mark(page, "shop/web", "shop/web-1").locator("svg");
    const appearance = () =>
      glyph.evaluate((svg) => [svg.firstElementChild?.getAttribute("d"), getComputedStyle(svg).color]);
    const box = await glyph.boundingBox();
    const [shape, colour] = await appearance();
    setPath(server.broker, "shop/web", "shop/web-1", TIMEOUT);
    const web1 = mark(page, "shop/web", "shop/web-1");
    await expect.poll(() => web1.getAttribute("aria-label"), UNTIL).toBe("VIP path: PathTimeout");
    expect(await web1.getAttribute("title")).toContain(`\n${TIMEOUT.detail}\n`);
    const [failingShape, failingColour] = await appearance();
    expect(failingShape).not.toBe(shape);
    expect(failingColour).not.toBe(colour);
    // The table has no room for the word.
    expect(await stateCell(page, "shop/web", "shop/web-1").innerText()).toBe("up L7OK");
    expect(await glyph.boundingBox()).toEqual(box);
    expect(new Set(await flashes(page))).toEqual(new Set(["shop/web"]));
    // The same Backend in another Frontend.
    expect(await mark(page, "shop/web-plain", "shop/web-1").getAttribute("aria-label")).toBe(
      "VIP path: PathOK",
    );

    setPath(server.broker, "shop/web", "shop/web-1", { state: "Unknown" });
    await expect.poll(() => web1.getAttribute("aria-label"), UNTIL).toBe("VIP path: Unknown");
    const [unknownShape, unknownColour] = await appearance();
    expect(new Set([shape, failingShape, unknownShape]).size).toBe(3);
    expect(unknownColour).toBe(colour);
  });

  it("is a word, too, on a wide screen, if it fails", async () => {
    const page = await open("#/node/node-a", { viewport: { width: 1920, height: 1080 } });
    setPath(server.broker, "shop/web", "shop/web-1", TIMEOUT);
    setPath(server.broker, "shop/web", "shop/web-2", { state: "Unable" });
    const text = (backend: string) => stateCell(page, "shop/web", backend).innerText();
    await expect.poll(() => text("shop/web-1"), UNTIL).toBe("up L7OK PathTimeout");
    await expect
      .poll(() => mark(page, "shop/web", "shop/web-2").getAttribute("aria-label"), UNTIL)
      .toBe("VIP path: Unable");
    expect(await text("shop/web-2")).toBe("up L7OK");
  });

  it("has no mark for a frontend without a path probe", async () => {
    const page = await open("#/node/node-a");
    expect(await mark(page, "dns/resolver", "dns/resolver-1").count()).toBe(0);
    const heads = (frontend: string) =>
      page.locator(`[data-name="${frontend}"] .pools thead th`).first().innerText();
    expect(await heads("dns/resolver")).toBe("Heartbeat");
    expect(await heads("shop/web")).toBe("Heartbeat and path");
  });

  it("is a word of the filter", async () => {
    setPath(server.broker, "shop/api", "shop/api-2", { state: "MtuTooSmall" });
    const page = await open("#/node/node-a?q=mtutoosmall");
    await expect.poll(() => page.locator(".card-name").allInnerTexts(), UNTIL).toEqual(["shop/api"]);
  });
});

describe("the path over all nodes", () => {
  it("is the worst of the nodes, and names them", async () => {
    const page = await open("#/frontend/shop/web");
    const web2 = mark(page, "shop/web", "shop/web-2");
    expect(await web2.getAttribute("aria-label")).toBe("VIP path: PathOK");
    setPath(server.broker, "shop/web", "shop/web-2", TIMEOUT, ["node-b"]);
    await expect.poll(() => web2.getAttribute("aria-label"), UNTIL).toBe("VIP path: PathTimeout on node-b");
    expect(await stateCell(page, "shop/web", "shop/web-2").innerText()).toMatch(/PathTimeout on node-b$/);
    setPath(server.broker, "shop/web", "shop/web-2", TIMEOUT);
    await expect.poll(() => web2.getAttribute("aria-label"), UNTIL).toBe("VIP path: PathTimeout");
  });

  it("is a word, too, on a phone, which has no tooltips", async () => {
    setPath(server.broker, "shop/web", "shop/web-2", TIMEOUT, ["node-b"]);
    const page = await open("#/frontend/shop/web", PHONE);
    expect(await stateCell(page, "shop/web", "shop/web-2").innerText()).toMatch(/PathTimeout on node-b$/);
  });

  it("has no column without a path probe", async () => {
    const page = await open("#/frontend/dns/resolver");
    expect(await page.locator(".pools thead th").first().innerText()).toBe("Backend");
  });
});

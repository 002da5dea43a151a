// The panel of events: it follows the newest line until the reader scrolls up.
import type { Page } from "playwright-core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { setBackend } from "../mock/actions.js";
import { settled, UNTIL, useBrowser, visit } from "./browser.js";
import { startMockServer, type MockServer } from "./mock-server.js";

let server: MockServer;
let page: Page;
useBrowser();
beforeEach(async () => {
  server = await startMockServer("healthy");
  ({ page } = await visit(`${server.url}#/node/node-a`));
  await page.locator(".card").first().waitFor(UNTIL);
  await settled(page);
});
afterEach(() => server.close());

const lines = () => page.locator(".event").allInnerTexts();
const lastLine = async () => (await lines()).at(-1) ?? "";
const distanceFromEnd = () =>
  page
    .locator(".events-lines")
    .evaluate(({ scrollHeight, scrollTop, clientHeight }) => scrollHeight - scrollTop - clientHeight);

function log(node: string, from: number, to: number): void {
  for (let number = from; number <= to; number++) {
    server.broker.log(node, [
      { level: "info", name: "config-applied", attributes: [["name", `line-${number}`]] },
    ]);
  }
}

describe("the events", () => {
  it("are the node's, with attributes in a fixed order, coloured by kind", async () => {
    setBackend(server.broker, "shop/web-1", "down");
    await expect
      .poll(async () => (await lines()).join("\n"), UNTIL)
      .toMatch(/backend-transition name=shop\/web-1 from=up to=down code=L4TOUT/);
    expect(await page.locator(".event.kind-weight").first().innerText()).toContain(
      "vpp-lb-sync-as-weight-updated",
    );
    await page.locator(".events").getByRole("button", { name: "all" }).click();
    await expect.poll(async () => (await lines()).join("\n"), UNTIL).toContain("node-b");
  });

  it("follow their end, stop when the reader scrolls up, count new lines, and resume", async () => {
    log("node-a", 1, 100);
    await expect.poll(lastLine, UNTIL).toContain("line-100");
    const box = page.locator(".events-lines");
    await expect.poll(distanceFromEnd, UNTIL).toBeLessThan(2);
    await box.evaluate((element) => (element.scrollTop = 0));
    await expect.poll(() => box.evaluate((element) => element.scrollTop), UNTIL).toBe(0);
    // The scroll event reaches the page one frame later.
    await page.evaluate(
      () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),
    );
    log("node-a", 101, 117);
    await page.getByRole("button", { name: "17 new ↓" }).click();
    await expect.poll(lastLine, UNTIL).toContain("line-117");
    await expect.poll(distanceFromEnd, UNTIL).toBeLessThan(2);
    log("node-a", 118, 118);
    await expect.poll(lastLine, UNTIL).toContain("line-118");
  });

  it("stand still while paused", async () => {
    log("node-a", 1, 1);
    await expect.poll(lastLine, UNTIL).toContain("line-1");
    await page.locator(".events").getByRole("button", { name: "pause" }).click();
    log("node-a", 2, 3);
    await page.getByRole("button", { name: "2 new ↓" }).waitFor(UNTIL);
    expect(await lastLine()).toContain("line-1");
  });

  it("are filtered by text", async () => {
    log("node-a", 1, 20);
    await page.getByRole("searchbox", { name: "Filter events by text" }).fill("name=line-2");
    await expect.poll(async () => (await lines()).length, UNTIL).toBe(2);
  });

  it("include what happened on a node before its tab was opened, while the page was open", async () => {
    log("node-b", 1, 3);
    await page.keyboard.press("3");
    await page.locator(".event", { hasText: "line-3" }).waitFor(UNTIL);
    expect(await lines()).toHaveLength(3);
  });
});

// The panel of events: a tail that follows until one reads.
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { setBackend } from "../mock/actions.js";
import { launch, visit } from "./browser.js";
import { startMockServer, type MockServer } from "./mock-server.js";

const UNTIL = { timeout: 30_000 };

let browser: Browser;
let server: MockServer;
let page: Page;
beforeAll(async () => (browser = await launch()));
afterAll(() => browser.close());
beforeEach(async () => {
  server = await startMockServer("healthy");
  ({ page } = await visit(browser, `${server.url}#/node/node-a`));
  await page.locator(".card").first().waitFor(UNTIL);
});
afterEach(async () => {
  await page.context().close();
  await server.close();
});

const lines = () => page.locator(".event").allInnerTexts();
const last = async () => (await lines()).at(-1) ?? "";

function say(node: string, from: number, to: number): void {
  for (let number = from; number <= to; number++) {
    server.broker.log(node, [
      { level: "info", name: "config-applied", attributes: [["name", `line-${number}`]] },
    ]);
  }
}

describe("the events", () => {
  it("are the node's, in words and fixed order, coloured by kind", async () => {
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

  it("follow their end, stop when one scrolls up, say how much is new, and go on", async () => {
    say("node-a", 1, 100);
    await expect.poll(last, UNTIL).toContain("line-100");
    const box = page.locator(".events-lines");
    expect(await box.evaluate((of) => of.scrollHeight - of.scrollTop - of.clientHeight)).toBeLessThan(2);
    await box.evaluate((of) => (of.scrollTop = 0));
    await expect.poll(() => box.evaluate((of) => of.scrollTop), UNTIL).toBe(0);
    // A frame later the page has heard of it.
    await page.evaluate(
      () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),
    );
    say("node-a", 101, 117);
    await page.getByRole("button", { name: "17 new ↓" }).click(UNTIL);
    await expect.poll(last, UNTIL).toContain("line-117");
    await expect
      .poll(() => box.evaluate((of) => of.scrollHeight - of.scrollTop - of.clientHeight), UNTIL)
      .toBeLessThan(2);
    say("node-a", 118, 118);
    await expect.poll(last, UNTIL).toContain("line-118");
  });

  it("stand still while paused", async () => {
    say("node-a", 1, 1);
    await expect.poll(last, UNTIL).toContain("line-1");
    await page.locator(".events").getByRole("button", { name: "pause" }).click();
    say("node-a", 2, 3);
    await page.getByRole("button", { name: "2 new ↓" }).waitFor(UNTIL);
    expect(await last()).toContain("line-1");
  });

  it("are filtered by text", async () => {
    say("node-a", 1, 20);
    await page.getByRole("searchbox", { name: "Filter events by text" }).fill("name=line-2");
    await expect.poll(async () => (await lines()).length, UNTIL).toBe(2);
  });

  it("tell what happened on a node before its tab was opened, as long as the page was", async () => {
    say("node-b", 1, 3);
    await page.keyboard.press("3");
    await page.locator(".event", { hasText: "line-3" }).waitFor(UNTIL);
    expect(await lines()).toHaveLength(3);
  });
});

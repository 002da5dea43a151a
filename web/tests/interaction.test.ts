// Interaction with the page: keys, switches, commands to copy.
import type { Page } from "playwright-core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { settled, UNTIL, useBrowser, visit } from "./browser.js";
import { startMockServer, type MockServer } from "./mock-server.js";

let server: MockServer;
let page: Page;
useBrowser();
beforeEach(async () => {
  server = await startMockServer("incident");
  ({ page } = await visit(server.url, {
    permissions: ["clipboard-read", "clipboard-write"],
    timezoneId: "Asia/Tokyo",
  }));
  await page.locator(".rows .row-open").first().waitFor(UNTIL);
  await settled(page);
});
afterEach(() => server.close());

const focused = () => page.evaluate(() => document.activeElement?.textContent ?? "");

describe("the keyboard", () => {
  it("moves through the rows, opens and closes them", async () => {
    await page.keyboard.press("j");
    await expect.poll(focused, UNTIL).toBe("shop/web");
    await page.keyboard.press("j");
    await expect.poll(focused, UNTIL).toBe("shop/web-plain");
    await page.keyboard.press("k");
    await expect.poll(focused, UNTIL).toBe("shop/web");
    await page.keyboard.press("Enter");
    await page.locator('[data-name="shop/web"] .details .pools').waitFor(UNTIL);
    await page.keyboard.press("Enter");
    await page.locator(".details").waitFor({ state: "detached", ...UNTIL });
  });

  it("filters, leaves the filter, and types shortcut keys into it as text", async () => {
    await page.keyboard.press("/");
    await page.keyboard.type("jp?2");
    expect(await page.locator("#filter").inputValue()).toBe("jp?2");
    expect(await page.locator(".node-title").count()).toBe(0);
    await page.keyboard.press("Escape");
    expect(await page.locator("#filter").inputValue()).toBe("");
    await page.keyboard.press("j");
    await expect.poll(focused, UNTIL).toBe("shop/web");
  });

  it("opens tabs", async () => {
    await page.keyboard.press("4");
    await page.locator(".node-title", { hasText: "node-c" }).waitFor(UNTIL);
    await page.keyboard.press("1");
    await page.locator(".table").waitFor(UNTIL);
  });

  it("shows and closes the help", async () => {
    await page.keyboard.press("?");
    await page.getByRole("dialog").waitFor(UNTIL);
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached", ...UNTIL });
  });

  it("pauses motion, and shows that it is paused", async () => {
    await page.keyboard.press("p");
    expect(await page.getByRole("button", { name: "paused" }).getAttribute("aria-pressed")).toBe("true");
  });
});

describe("the switches", () => {
  it("change times from UTC to local and are remembered", async () => {
    const time = page.locator(".transitions time").first();
    const utc = await time.innerText();
    await page.getByRole("button", { name: /^UTC/ }).click();
    await expect.poll(() => time.innerText(), UNTIL).not.toBe(utc);
    const hours = (Number(utc.slice(0, 2)) + 9) % 24;
    expect(await time.innerText()).toBe(String(hours).padStart(2, "0") + utc.slice(2));
    await page.reload();
    await page.getByRole("button", { name: /^local/ }).waitFor(UNTIL);
  });

  it("change the colour scheme and are remembered", async () => {
    const scheme = () => page.evaluate(() => getComputedStyle(document.documentElement).colorScheme);
    expect(await scheme()).toBe("light dark");
    const button = page.getByRole("button", { name: /colours: change$/ });
    await button.click();
    expect(await scheme()).toBe("dark");
    await button.click();
    expect(await scheme()).toBe("light");
    await page.reload();
    await page.locator(".rows .row-open").first().waitFor(UNTIL);
    expect(await scheme()).toBe("light");
  });
});

describe("commands", () => {
  it("are copied as shown", async () => {
    await page.locator(".rows .row-open").first().click();
    const command = page.locator(".details .command").first();
    await command.getByRole("button").click(UNTIL);
    await command.getByText("copied").waitFor(UNTIL);
    const text = await page.evaluate(() => navigator.clipboard.readText());
    expect(text).toBe("kubectl --namespace shop get frontends.maglev.vpp.io web --output yaml");
    expect(await command.locator("code").innerText()).toBe(text);
  });
});

describe("an empty fleet", () => {
  it("shows the namespace and selector of the discovery", async () => {
    const empty = await startMockServer("empty");
    const { page: first } = await visit(empty.url);
    await first.getByText("No maglevd found yet.").waitFor(UNTIL);
    expect(await first.locator(".first-run").innerText()).toMatch(
      /app\.kubernetes\.io\/component=maglevd[^]*namespace maglev-system/,
    );
    expect(await first.locator(".first-run .command code").innerText()).toContain(
      "kubectl --namespace maglev-system get pods",
    );
    await empty.close();
  });

  it("without frontends shows the number of ready nodes", async () => {
    const empty = await startMockServer("no-frontends");
    const { page: first } = await visit(empty.url);
    await first.getByText("2 nodes ready to serve.").waitFor(UNTIL);
    await empty.close();
  });
});

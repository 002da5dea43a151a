// The page of a cluster in both colours and on a narrow screen.
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launch, PHONE, sideways, visit } from "../browser.js";
import { begin, cluster, UNTIL } from "./cluster.js";
import { picture } from "./page.js";

let browser: Browser;
let url: string;
beforeAll(async () => {
  browser = await launch();
  const replica = await begin();
  url = `http://${replica.address}/view/`;
  // Something to see.
  await cluster.backends(["spare-1", "spare-2"], "fail");
});
afterAll(async () => {
  await cluster.backends(["spare-1", "spare-2"], "ok");
  await browser.close();
});

const background = (page: Page) =>
  page.evaluate(() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    if (!canvas) return 0;
    canvas.fillStyle = getComputedStyle(document.documentElement).backgroundColor;
    canvas.fillRect(0, 0, 1, 1);
    const [red = 0, green = 0, blue = 0] = canvas.getImageData(0, 0, 1, 1).data;
    return (red + green + blue) / 3;
  });

describe("a cluster's page", () => {
  it("is dark or light as the system wishes", async () => {
    for (const colorScheme of ["dark", "light"] as const) {
      const { page } = await visit(browser, url, { colorScheme });
      await page.getByRole("button", { name: "1 on standby" }).waitFor(UNTIL);
      const brightness = await background(page);
      if (colorScheme === "dark") expect(brightness).toBeLessThan(64);
      else expect(brightness).toBeGreaterThan(192);
      await picture(page, `frontends-${colorScheme}`);
      await page.context().close();
    }
  });

  it("needs no sideways scrolling on a phone, on any tab", async () => {
    const { page } = await visit(browser, url, { ...PHONE, colorScheme: "light" });
    await page.getByRole("button", { name: "1 on standby" }).waitFor(UNTIL);
    expect(await sideways(page)).toBe(0);
    await picture(page, "phone");
    await page.locator(".rows .row-open").first().click();
    await page.locator(".details .pools").waitFor(UNTIL);
    expect(await sideways(page)).toBe(0);
    await page.locator(".tabs select").selectOption("node-b");
    await page.locator(".card").first().waitFor(UNTIL);
    expect(await sideways(page)).toBe(0);
    await page.context().close();
  });
});

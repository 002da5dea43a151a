// The page of a cluster in both colours and on a narrow screen.
import type { Page } from "playwright-core";
import { beforeEach, describe, expect, it } from "vitest";
import { horizontalOverflow, PHONE, useBrowser, visit } from "../browser.js";
import { cluster, UNTIL } from "./cluster.js";
import { useCluster } from "./fixture.js";
import { screenshot } from "./page.js";

const replica = useCluster();
useBrowser();
const url = () => `http://${replica().address}/view/`;

// A problem to show.
beforeEach(() => cluster.backends(["spare-1", "spare-2"], "fail"));

const brightness = (page: Page) =>
  page.evaluate(() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    if (!canvas) return 0;
    canvas.fillStyle = getComputedStyle(document.documentElement).backgroundColor;
    canvas.fillRect(0, 0, 1, 1);
    const [red = 0, green = 0, blue = 0] = canvas.getImageData(0, 0, 1, 1).data;
    return (red + green + blue) / 3;
  });

describe("a cluster's page", () => {
  it("is dark or light as the system prefers", async () => {
    for (const colorScheme of ["dark", "light"] as const) {
      const { page } = await visit(url(), { colorScheme });
      await page.getByRole("button", { name: "1 on standby" }).waitFor(UNTIL);
      if (colorScheme === "dark") expect(await brightness(page)).toBeLessThan(64);
      else expect(await brightness(page)).toBeGreaterThan(192);
      await screenshot(page, `frontends-${colorScheme}`);
      await page.context().close();
    }
  });

  it("needs no horizontal scrolling on a phone, on any tab", async () => {
    const { page } = await visit(url(), { ...PHONE, colorScheme: "light" });
    await page.getByRole("button", { name: "1 on standby" }).waitFor(UNTIL);
    expect(await horizontalOverflow(page)).toBe(0);
    await screenshot(page, "phone");
    await page.locator(".rows .row-open").first().click();
    await page.locator(".details .pools").waitFor(UNTIL);
    expect(await horizontalOverflow(page)).toBe(0);
    await page.locator(".tabs select").selectOption("node-b");
    await page.locator(".card").first().waitFor(UNTIL);
    expect(await horizontalOverflow(page)).toBe(0);
  });
});

// Nodes whose VPPs have different tables of one VIP: the count of problems with its share, and the nodes in the row and
// in its details.
import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { useBrowser, visit } from "../browser.js";
import { cluster, UNTIL } from "./cluster.js";
import { frontend, useCluster } from "./fixture.js";
import { item, row, screenshot } from "./page.js";

// The node whose limit has no room for a longer table of the youngest Frontend.
const FULL = "node-b";
const LENGTH = 1024;
const LONGER = 4096;
// The tables of the Frontends web, www and api, and of this file's.
const LIMIT = 3 * 8192 + LENGTH;

const tables = (tableLength: number) => {
  const { spec, ...object } = frontend("tables", "203.0.113.22", { primary: ["web-1", "web-2", "web-3"] });
  return { ...object, spec: { ...spec, tableLength } };
};

const replica = useCluster(
  {
    apiVersion: "maglev.vpp.io/v1alpha1",
    kind: "LoadBalancerConfig",
    metadata: { name: "full" },
    spec: { nodeSelector: { "kubernetes.io/hostname": FULL }, vpp: { maxTableEntries: LIMIT } },
  },
  tables(LENGTH),
);
useBrowser();

const count = (page: Page) => page.getByRole("button", { name: /^1 disagrees \d+\.\d %$/ });

describe("a table that differs on one node", () => {
  it("is counted with its share, and names the node until it is equal again", async () => {
    const { page, errors } = await visit(`http://${replica().address}/view/`, { colorScheme: "dark" });
    await page.locator(".all-up").waitFor(UNTIL);
    await cluster.apply(tables(LONGER));
    await count(page).waitFor(UNTIL);
    const share = await count(page).locator(".tile-share").innerText();
    expect(Number.parseFloat(share)).toBeGreaterThan(10);
    await expect
      .poll(() => row(page, "default/tables").innerText(), UNTIL)
      .toContain(`nodes disagree: ${share} of buckets differ on ${FULL}`);
    await row(page, "default/tables").locator(".row-open").click();
    await expect
      .poll(() => item(page, "default/tables").locator(".disagreement").innerText(), UNTIL)
      .toMatch(
        new RegExp(
          `^The new-flow table differs from that of most nodes in ${share} of the buckets on ${FULL}, for \\d+ s$`,
        ),
      );
    await page.mouse.move(10, 10);
    await screenshot(page, "tables-differ", 640);
    await page.setViewportSize({ width: 400, height: 900 });
    await count(page).waitFor(UNTIL);
    await screenshot(page, "tables-differ-phone");

    await page.setViewportSize({ width: 1440, height: 900 });
    await cluster.apply(tables(LENGTH));
    await page.locator(".all-up").waitFor(UNTIL);
    expect(await item(page, "default/tables").locator(".disagreement").count()).toBe(0);
    expect(errors).toEqual([]);
  });
});

// The tab of all nodes on a cluster: every count of problems, nodes that disagree, silent and removed nodes, and an
// order that holds still under the pointer.
import { createServer } from "node:http";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { useBrowser, visit } from "../browser.js";
import { cluster, UNTIL } from "./cluster.js";
import { backend, frontend, useCluster } from "./fixture.js";
import { item, report, row, rowNames, screenshot, tab } from "./page.js";

// The node from which `near-1` does not respond, and the node that becomes silent.
const BLOCKED = { node: "node-b", address: "127.0.1.2" };
const SILENT = "node-c";
const NEAR = "127.0.3.1";

// The count has the share of the buckets that differ.
const DISAGREES = /^1 disagrees \d+\.\d %$/;

// A backend of this file, since the sandbox's respond to all nodes alike.
let blocks = false;
const near = createServer((request, response) => {
  const refused = blocks && request.socket.remoteAddress === BLOCKED.address;
  response.writeHead(refused ? 503 : 200).end();
});
beforeAll(() => new Promise<void>((done) => near.listen(8080, NEAR, done)));
afterAll(() => {
  near.close();
  near.closeAllConnections();
});

const replica = useCluster(
  // A source address of its own makes the node's probes recognizable.
  {
    apiVersion: "maglev.vpp.io/v1alpha1",
    kind: "LoadBalancerConfig",
    metadata: { name: "blocked" },
    spec: {
      nodeSelector: { "kubernetes.io/hostname": BLOCKED.node },
      probe: { ipv4SourceAddress: BLOCKED.address },
    },
  },
  backend("near-1", NEAR, "web"),
  frontend("near", "203.0.113.20", { primary: ["near-1", "web-1", "web-2"] }),
);
useBrowser();
afterEach(() => {
  blocks = false;
});

const INVALID = [
  // The nodes have no IPv6 address as a source for GRE.
  backend("six", "2001:db8::6"),
  frontend("six", "203.0.113.21", { primary: ["six"] }),
  // The VIP of the demo's Frontend.
  frontend("rival", "203.0.113.10", { primary: ["web-1"] }),
];

const url = () => `http://${replica().address}/view/`;
const reporting = (page: Page) => page.locator(".reporting").innerText();
const allUp = (page: Page) => page.locator(".all-up").waitFor(UNTIL);

describe("all nodes of a cluster", () => {
  it("are summarized in one sentence while all is up, with a tab and a state for each", async () => {
    const { page, errors } = await visit(url());
    await page.getByText("Everything is up: 4 VIPs, 7 backends on 3 nodes").waitFor(UNTIL);
    expect(await reporting(page)).toMatch(/^3 of 3 nodes reporting · \d+ s ago$/);
    const tabs = (await page.locator(".tab").allInnerTexts()).map((text) => text.replace(/\s+/g, " "));
    expect(tabs).toEqual(["All nodes", "reporting: node-a", "reporting: node-b", "reporting: node-c"]);
    expect(await page.locator(".tab .shape.is-up").count()).toBe(3);
    expect(await rowNames(page)).toEqual(["default/api", "default/near", "default/web", "default/www"]);
    const line = await row(page, "default/web").innerText();
    expect(line.replace(/\s+/g, " ")).toMatch(
      /^default\/web 203\.0\.113\.10:80 TCP .*6\/6 up .*pps \d+ [smh]/,
    );
    await screenshot(page, "all-well");
    expect(errors).toEqual([]);
  });

  it("keep their order under the pointer, and put problems first when it leaves", async () => {
    const { page } = await visit(url());
    let moves = 0;
    const moveInTable = async () => {
      const table = await page.getByRole("table", { name: "Frontends" }).boundingBox();
      // In the last row: the pointer stays in the table when problems are shown above it.
      await page.mouse.move(300 + (++moves % 2), (table?.y ?? 0) + (table?.height ?? 0) - 10);
    };
    await row(page, "default/web").waitFor(UNTIL);
    await moveInTable();
    const before = await rowNames(page);
    await cluster.backends(["web-3", "web-4"], "fail");
    // A pointer that rests for 30 s no longer holds the order: it keeps moving until the failure is shown.
    await expect
      .poll(async () => {
        await moveInTable();
        return row(page, "default/www").innerText();
      }, UNTIL)
      .toContain("down");
    expect(await rowNames(page)).toEqual(before);
    await page.getByText("order held while the pointer or focus is here").waitFor(UNTIL);
    await page.mouse.move(10, 10);
    await expect.poll(async () => (await rowNames(page))[0], UNTIL).toBe("default/www");
    await expect.poll(() => row(page, "default/www").innerText(), UNTIL).toContain("all backends L7STS");
    await cluster.backends(["web-3", "web-4"], "ok");
    await allUp(page);
  });

  it("count each kind of problem, and filter by it", async () => {
    const { page, errors } = await visit(url(), { colorScheme: "dark" });
    await allUp(page);
    const start = Date.now();
    blocks = true;
    await cluster.backends(["web-3", "web-4", "spare-1", "spare-2"], "fail");
    await cluster.apply(...INVALID);
    cluster.agent(SILENT, "SIGSTOP");
    await checkCounts(page, start);
    await checkFilters(page);
    await checkSilentNode(page);
    await page.mouse.move(10, 10);
    await screenshot(page, "all-nodes", 640);
    cluster.agent(SILENT, "SIGCONT");
    blocks = false;
    await cluster.backends(["web-3", "web-4", "spare-1", "spare-2"], "ok");
    await cluster.remove("frontends", "six", "rival");
    await cluster.remove("backends", "six");
    await allUp(page);
    expect(errors).toEqual([]);
  });

  it("lose the node whose pod is removed, and have it back with the next pod", async () => {
    const { page, errors } = await visit(url());
    await allUp(page);
    // From now on the DaemonSet selects nodes by a label that one node does not have. Running pods stay as they are.
    await cluster.kubectl("label", "nodes", "node-a", "node-b", "chosen=yes");
    const selectNodes = (nodeSelector: object | null, updateStrategy: object) =>
      cluster.kubectl(
        "patch",
        "daemonset",
        "maglevd",
        "--type=merge",
        "-p",
        JSON.stringify({ spec: { updateStrategy, template: { spec: { nodeSelector } } } }),
      );
    await selectNodes({ chosen: "yes" }, { type: "OnDelete", rollingUpdate: null });
    await expect.poll(() => tab(page, SILENT).count(), UNTIL).toBe(0);
    await expect.poll(() => reporting(page), UNTIL).toContain("2 of 2 nodes reporting");
    await page.goto(`${url()}#/node/${SILENT}`);
    await page.getByText(`No node ${SILENT}.`).waitFor(UNTIL);
    await selectNodes({ chosen: null }, { type: "OnDelete" });
    await tab(page, `reporting: ${SILENT}`).waitFor(UNTIL);
    await page.locator(".card").first().waitFor(UNTIL);
    expect(errors).toEqual([]);
  });
});

/** Waits for every count, and reports the time that it took. */
async function checkCounts(page: Page, start: number): Promise<void> {
  const counts = [
    "1 VIP down",
    "1 dropping",
    "1 node silent",
    "1 on standby",
    DISAGREES,
    "1 rejected",
    "1 sync error",
  ];
  await Promise.all(
    counts.map(async (name) => {
      await page.getByRole("button", { name, exact: true }).waitFor(UNTIL);
      report(`${String(name)}: after ${((Date.now() - start) / 1000).toFixed(1)} s`);
    }),
  );
  expect(await page.title()).toBe("1 VIP down · maglev");
}

/** Checks which row each count selects, and the row's reason. */
async function checkFilters(page: Page): Promise<void> {
  expect(await reporting(page)).toContain("2 of 3 nodes reporting");
  await expect.poll(async () => (await rowNames(page))[0], UNTIL).toBe("default/www");
  const expected: [string | RegExp, string, RegExp][] = [
    ["1 VIP down", "default/www", /all backends L7STS/],
    ["1 dropping", "default/www", /dropped/],
    ["1 on standby", "default/api", /pool primary down/],
    [DISAGREES, "default/near", /nodes disagree: \d+\.\d % of buckets differ between node-a, node-b/],
    ["1 rejected", "default/rival", /Conflicted: .*older Frontend "web"/],
    ["1 sync error", "default/six", /node-.: NoSourceAddress/],
  ];
  for (const [count, name, reason] of expected) {
    await page.getByRole("button", { name: count, exact: true }).click();
    await expect.poll(() => rowNames(page), UNTIL).toEqual([name]);
    await expect.poll(() => row(page, name).innerText(), UNTIL).toMatch(reason);
    await page.getByRole("button", { name: count, exact: true }).click();
  }
  // A withdrawn Frontend has a shape, too.
  expect(
    await row(page, "default/rival").locator(".col-name .shape.is-rejected path").getAttribute("d"),
  ).toMatch(/^M/);
  // The row's details name the node that disagrees.
  await row(page, "default/near").locator(".row-open").click();
  const line = item(page, "default/near").locator(".pools tr", { hasText: "near-1" });
  await expect.poll(() => line.innerText(), UNTIL).toMatch(/up[^]*node-a[^]*down[^]*node-b|down[^]*node-b/);
  await row(page, "default/near").locator(".row-open").click();
}

/** Checks the silent node: its entry, its dot, its cells, and its tab with the last known state. */
async function checkSilentNode(page: Page): Promise<void> {
  expect(await page.locator(".attention").innerText()).toMatch(new RegExp(`node ${SILENT}[^]*silent for`));
  expect(await tab(page, SILENT).innerText()).toContain("silent");
  expect(await tab(page, SILENT).locator(".shape.is-stale").count()).toBe(1);
  expect(await row(page, "default/web").locator(".cell-stale").count()).toBe(1);
  await tab(page, SILENT).click();
  await page.locator(".node-parts.stale .card").first().waitFor(UNTIL);
  expect(await page.locator(".node-title").innerText()).toMatch(/silent[^]*for \d+ [sm]/);
  await page.keyboard.press("1");
  await row(page, "default/web").waitFor(UNTIL);
}

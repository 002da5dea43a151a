// The first tab on a cluster: each count is there once, nodes that differ, silent and removed ones, and an order that
// nobody's pointer loses.
import { createServer } from "node:http";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launch, visit } from "../browser.js";
import { backend, begin, cluster, frontend, UNTIL, type Pod } from "./cluster.js";
import { names, of, picture, row, say, tab } from "./page.js";

// The node from which `near-1` does not answer, and the one that falls silent.
const BLOCKED = { node: "node-b", address: "127.0.1.2" };
const SILENT = "node-c";
const NEAR = "127.0.3.1";

let browser: Browser;
let replica: Pod;
let url: string;
// A backend of our own, for those of the sandbox treat all nodes alike.
let blocks = false;
const near = createServer((request, response) => {
  const refused = blocks && request.socket.remoteAddress === BLOCKED.address;
  response.writeHead(refused ? 503 : 200).end();
});

const LOCAL = [
  // So that it can be told which node a probe comes from.
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
];
const WRONG = [
  // The nodes have no IPv6 address to send GRE from.
  backend("six", "2001:db8::6"),
  frontend("six", "203.0.113.21", { primary: ["six"] }),
  // The demo's own VIP.
  frontend("rival", "203.0.113.10", { primary: ["web-1"] }),
];

beforeAll(async () => {
  await new Promise<void>((done) => near.listen(8080, NEAR, done));
  browser = await launch();
  replica = await begin(...LOCAL);
  url = `http://${replica.address}/view/`;
});

afterAll(async () => {
  await cluster.remove("frontends", "near", "six", "rival");
  await cluster.remove("backends", "near-1", "six");
  await cluster.remove("loadbalancerconfigs", "blocked");
  await browser.close();
  await new Promise((done) => near.close(done));
});

const reporting = (page: Page) => page.locator(".reporting").innerText();
const wellAgain = (page: Page) => page.locator(".all-up").waitFor(UNTIL);

describe("all nodes of a cluster", () => {
  it("say in one sentence that all is well, with a tab and a state for each", async () => {
    const { page, complaints } = await visit(browser, url);
    await page.getByText("Everything is up: 4 VIPs, 7 backends on 3 nodes").waitFor(UNTIL);
    expect(await reporting(page)).toMatch(/^3 of 3 nodes reporting · \d+ s ago$/);
    const tabs = (await page.locator(".tab").allInnerTexts()).map((text) => text.replace(/\s+/g, " "));
    expect(tabs).toEqual(["All nodes", "reporting: node-a", "reporting: node-b", "reporting: node-c"]);
    expect(await page.locator(".tab .shape.is-up").count()).toBe(3);
    expect(await names(page)).toEqual(["default/api", "default/near", "default/web", "default/www"]);
    const line = await row(page, "default/web").innerText();
    expect(line.replace(/\s+/g, " ")).toMatch(
      /^default\/web 203\.0\.113\.10:80 TCP .*6\/6 up .*pps \d+ [smh]/,
    );
    await picture(page, "all-well");
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("keep their order under the pointer, and put what is wrong first when it leaves", async () => {
    const { page } = await visit(browser, url);
    await row(page, "default/web").hover(UNTIL);
    await page.mouse.move(300, 250);
    const before = await names(page);
    await cluster.backends(["web-3", "web-4"], "fail");
    await expect.poll(() => row(page, "default/www").innerText(), UNTIL).toContain("down");
    expect(await names(page)).toEqual(before);
    await page.getByText("order held while you are here").waitFor(UNTIL);
    await page.mouse.move(10, 10);
    await expect.poll(async () => (await names(page))[0], UNTIL).toBe("default/www");
    expect(await row(page, "default/www").innerText()).toContain("all backends L7STS");
    await cluster.backends(["web-3", "web-4"], "ok");
    await wellAgain(page);
    await page.context().close();
  });

  it("count each thing that can be wrong, and filter by it", async () => {
    const { page, complaints } = await visit(browser, url, { colorScheme: "dark" });
    await wellAgain(page);
    const began = Date.now();
    blocks = true;
    await cluster.backends(["web-3", "web-4", "spare-1", "spare-2"], "fail");
    await cluster.apply(...WRONG);
    cluster.agent(SILENT, "SIGSTOP");
    try {
      await counts(page, began);
      await where(page);
      await page.mouse.move(10, 10);
      await picture(page, "all-nodes", 640);
    } finally {
      cluster.agent(SILENT, "SIGCONT");
      blocks = false;
      await cluster.backends(["web-3", "web-4", "spare-1", "spare-2"], "ok");
      await cluster.remove("frontends", "six", "rival");
      await cluster.remove("backends", "six");
    }
    await wellAgain(page);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("lose the node whose pod is removed, and have it back with the next pod", async () => {
    const { page, complaints } = await visit(browser, url);
    await wellAgain(page);
    // Nodes are chosen by a label from now on, which one of them does not have. Running pods stay as they are.
    await cluster.kubectl("label", "nodes", "node-a", "node-b", "chosen=yes");
    const chosen = (selector: object | null, strategy: object) =>
      cluster.kubectl(
        "patch",
        "daemonset",
        "maglevd",
        "--type=merge",
        "-p",
        JSON.stringify({
          spec: { updateStrategy: strategy, template: { spec: { nodeSelector: selector } } },
        }),
      );
    await chosen({ chosen: "yes" }, { type: "OnDelete", rollingUpdate: null });
    await expect.poll(() => tab(page, SILENT).count(), UNTIL).toBe(0);
    await expect.poll(() => reporting(page), UNTIL).toContain("2 of 2 nodes reporting");
    await page.goto(`${url}#/node/${SILENT}`);
    await page.getByText(`No node ${SILENT}.`).waitFor(UNTIL);
    await chosen({ chosen: null }, { type: "OnDelete" });
    await tab(page, `reporting: ${SILENT}`).waitFor(UNTIL);
    await page.locator(".card").first().waitFor(UNTIL);
    expect(complaints).toEqual([]);
    await page.context().close();
  });
});

/** Every count, and when it was there. */
async function counts(page: Page, began: number): Promise<void> {
  const words = [
    "1 VIP down",
    "1 dropping",
    "1 node silent",
    "1 on standby",
    "1 disagrees",
    "1 rejected",
    "1 sync error",
  ];
  await Promise.all(
    words.map(async (words) => {
      await page.getByRole("button", { name: words, exact: true }).waitFor(UNTIL);
      say(`${words}: after ${((Date.now() - began) / 1000).toFixed(1)} s`);
    }),
  );
  expect(await page.title()).toBe("1 VIP down · maglev");
}

/** What the counts count, where, and why. */
async function where(page: Page): Promise<void> {
  expect(await reporting(page)).toContain("2 of 3 nodes reporting");
  expect((await names(page))[0]).toBe("default/www");
  const wanted: [string, string, RegExp][] = [
    ["1 VIP down", "default/www", /all backends L7STS/],
    ["1 dropping", "default/www", /dropped/],
    ["1 on standby", "default/api", /pool primary down/],
    ["1 disagrees", "default/near", /nodes disagree/],
    ["1 rejected", "default/rival", /Conflicted: .*older Frontend "web"/],
    ["1 sync error", "default/six", /node-.: NoSourceAddress/],
  ];
  for (const [words, name, why] of wanted) {
    await page.getByRole("button", { name: words, exact: true }).click();
    await expect.poll(() => names(page), UNTIL).toEqual([name]);
    expect(await row(page, name).innerText()).toMatch(why);
    await page.getByRole("button", { name: words, exact: true }).click();
  }
  // What is withdrawn has a shape as every state has.
  expect(
    await row(page, "default/rival").locator(".col-name .shape.is-rejected path").getAttribute("d"),
  ).toMatch(/^M/);
  const attention = page.locator(".attention");
  expect(await attention.innerText()).toMatch(new RegExp(`node ${SILENT}[^]*silent for`));
  // Which node says otherwise.
  await row(page, "default/near").locator(".row-open").click();
  const line = of(page, "default/near").locator(".pools tr", { hasText: "near-1" });
  await expect.poll(() => line.innerText(), UNTIL).toMatch(/up[^]*node-a[^]*down[^]*node-b|down[^]*node-b/);
  await row(page, "default/near").locator(".row-open").click();
  // The silent one: its dot, its cells, its tab with the last that was known.
  expect(await tab(page, SILENT).innerText()).toContain("silent");
  expect(await tab(page, SILENT).locator(".shape.is-stale").count()).toBe(1);
  expect(await row(page, "default/web").locator(".cell-stale").count()).toBe(1);
  await tab(page, SILENT).click();
  await page.locator(".node-parts.stale .card").first().waitFor(UNTIL);
  expect(await page.locator(".node-title").innerText()).toMatch(/silent[^]*for \d+ s/);
  await page.keyboard.press("1");
  await row(page, "default/web").waitFor(UNTIL);
}

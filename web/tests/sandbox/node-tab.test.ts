// A node's tab on a cluster: cards, hearts that follow real probes, weights that follow a failover, the agent's own
// events, and what becomes of VPP.
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launch, visit } from "../browser.js";
import { flashes, recordFlashes } from "../flashes.js";
import { begin, cluster, UNTIL, type Pod } from "./cluster.js";
import { Gate } from "./proxy.js";
import { member, of, picture, say, sawHearts, shownAt, tab, watchHearts, watchText } from "./page.js";

const NODE = "node-a";

let browser: Browser;
let replica: Pod;
let gate: Gate;
let url: string;
beforeAll(async () => {
  browser = await launch();
  replica = await begin();
  gate = new Gate([replica.address]);
  url = await gate.listen();
});
afterAll(async () => {
  await browser.close();
  await gate.close();
});

async function open(): Promise<Page> {
  const { page } = await visit(browser, "about:blank");
  await recordFlashes(page);
  await page.goto(`${url}#/node/${NODE}`);
  await of(page, "default/web").locator(".pools").waitFor(UNTIL);
  return page;
}

const cells = (page: Page, frontend: string, backend: string) =>
  member(page, frontend, backend).locator("td, th").allInnerTexts();

describe("a node's tab on a cluster", () => {
  it("has a card per frontend with its state, and of each backend all columns", async () => {
    const page = await open();
    expect(await page.locator(".card .card-name").allInnerTexts()).toEqual([
      "default/api",
      "default/web",
      "default/www",
    ]);
    expect(await page.locator(".card .card-state").allInnerTexts()).toEqual(["up", "up", "up"]);
    const card = of(page, "default/web");
    expect(await card.locator(".card-vip").innerText()).toBe("203.0.113.10:80 TCP");
    expect(await card.locator(".card-encap").innerText()).toMatch(/gre4/i);
    const heads = await card.locator(".pools thead th").allInnerTexts();
    expect(heads.map((head) => head.trim())).toEqual([
      "Heartbeat",
      "Backend",
      "Address",
      "State",
      "Weight",
      "Effective",
      "Buckets",
      "Since",
    ]);
    const pools = await card.locator(".pool-head").allInnerTexts();
    expect(pools.map((pool) => pool.replace(/\s+/g, " ").trim())).toEqual([
      "pool primary active",
      "pool standby not active",
    ]);
    const [, name, address, state, weight, effective, buckets, since] = await cells(
      page,
      "default/web",
      "default/web-1",
    );
    expect([name?.trim(), address, weight, effective]).toEqual(["default/web-1", "127.0.2.1", "10", "10"]);
    expect(state).toMatch(/^\s*up L7OK$/);
    expect(since).toMatch(/^\d+ [smh]$/);
    // A quarter of 8192, more or less.
    expect(Math.abs(Number(buckets) - 2048)).toBeLessThan(200);
    expect((await cells(page, "default/web", "default/spare-1")).slice(4, 7)).toEqual(["10", "0", "0"]);
    await page.context().close();
  });

  it("tells the versions of page and agent, and when they were built or started", async () => {
    const page = await open();
    const served = (await (await fetch(`http://${replica.address}/view/api/version`)).json()) as {
      readonly version: string;
      readonly commit: string;
      readonly started: string;
      readonly build_date?: string;
    };
    const title = page.locator("h1");
    await expect.poll(() => title.innerText(), UNTIL).toContain(`v${served.version}`);
    expect(await title.innerText()).toContain(served.commit.slice(0, 7));
    const tooltip = await title.getAttribute("title");
    expect(tooltip).toContain(`this replica started ${served.started.slice(0, 10)}`);
    if (served.build_date !== undefined) expect(tooltip).toContain("built ");
    say(`the tooltip: ${tooltip ?? ""}`);
    expect(await page.locator(".node-title .facts").innerText()).toContain(`maglevd ${served.version}`);
    await page.context().close();
  });

  it("beats with each probe, and nothing moves by it", async () => {
    const page = await open();
    await page.locator(".heartbeat svg").first().waitFor(UNTIL);
    await watchHearts(page);
    await expect.poll(async () => (await sawHearts(page)).swaps, UNTIL).toBeGreaterThan(20);
    const { swaps, shifted, sizes } = await sawHearts(page);
    expect(shifted).toEqual([]);
    expect(sizes).toHaveLength(1);
    say(`${swaps} swaps, nothing shifted, every heart ${sizes[0] ?? ""}`);
    expect(await page.locator(".heartbeat").first().getAttribute("aria-hidden")).toBe("true");
    await page.context().close();
  });

  it("shows a failover's weights at once, by the stream alone, and flashes only what changed", async () => {
    const page = await open();
    const effective = member(page, "default/api", "default/web-1").locator("td[data-label=Effective]");
    await watchText(effective, "10");
    expect(await flashes(page)).toEqual([]);
    const asked = gate.asked.length;
    await cluster.backends(["spare-1", "spare-2"], "fail");
    await expect.poll(() => shownAt(page), UNTIL).toBeDefined();
    await expect
      .poll(() => of(page, "default/api").locator(".card-state").innerText(), UNTIL)
      .toContain("standby");
    const shown = (await shownAt(page)) ?? 0;
    const { backends } = await cluster.state(replica, NODE);
    const fell = ["default/spare-1", "default/spare-2"].map((name) =>
      Date.parse(backends[name]?.history.at(-1)?.at ?? ""),
    );
    say(`the effective weight was shown ${shown - Math.max(...fell)} ms after the last backend fell`);
    expect(gate.asked.slice(asked)).toEqual([]);
    const flashed = new Set((await flashes(page)).filter((name) => name.includes("/")));
    expect(flashed).toContain("default/api");
    expect(flashed).not.toContain("default/www");
    // VPP has followed; the buckets are the standby pool's now.
    await expect
      .poll(async () => (await cells(page, "default/api", "default/web-1"))[6], UNTIL)
      .toMatch(/^4\d\d\d$/);
    await cluster.backends(["spare-1", "spare-2"], "ok");
    await expect
      .poll(() => of(page, "default/api").locator(".card-state").innerText(), UNTIL)
      .toContain("up");
    await page.context().close();
  });

  it("follows the agent's events with its probes, stops for a reader, pauses, filters, marks kinds", async () => {
    const page = await open();
    const panel = page.locator(".events");
    const lines = panel.locator(".event");
    const box = panel.locator(".events-lines");
    const fromEnd = () => box.evaluate((of) => of.scrollHeight - of.scrollTop - of.clientHeight);
    await panel.getByRole("button", { name: "probes" }).click();
    await panel.locator(".event", { hasText: "probe-done" }).first().waitFor(UNTIL);
    // More than the box shows.
    await expect
      .poll(() => box.evaluate((of) => of.scrollHeight / of.clientHeight), UNTIL)
      .toBeGreaterThan(1.5);
    await expect.poll(fromEnd, UNTIL).toBeLessThan(2);
    await box.evaluate((of) => (of.scrollTop = 0));
    await panel.getByRole("button", { name: /^\d+ new ↓$/ }).click(UNTIL);
    await expect.poll(fromEnd, UNTIL).toBeLessThan(2);

    await panel.getByRole("button", { name: "pause" }).click();
    const before = await lines.allInnerTexts();
    await panel.getByRole("button", { name: /^\d+ new ↓$/ }).waitFor(UNTIL);
    expect(await lines.allInnerTexts()).toEqual(before);
    await panel.getByRole("button", { name: "paused" }).click();
    await expect.poll(async () => (await lines.allInnerTexts()).length, UNTIL).not.toBe(before.length);

    await panel.getByRole("searchbox").fill("web-3");
    await expect
      .poll(async () => (await lines.allInnerTexts()).every((line) => line.includes("web-3")), UNTIL)
      .toBe(true);
    await panel.getByRole("button", { name: "probes" }).click();
    await cluster.backends(["web-3"], "fail");
    await panel
      .locator(".event", { hasText: /backend-transition name=default\/web-3 from=up to=down/ })
      .waitFor(UNTIL);
    const weight = panel.locator(".event.kind-weight", { hasText: /from=10 to=0/ });
    await weight.first().waitFor(UNTIL);
    expect(await weight.first().innerText()).toMatch(
      /vpp-lb-sync-as-weight-updated frontend=default\/\w+ vip=\S+ protocol=tcp port=80 backend=default\/web-3 as=127\.0\.2\.3 from=10 to=0 flush=true/,
    );
    const colour = (line: typeof weight) =>
      line
        .locator(".event-name")
        .first()
        .evaluate((of) => getComputedStyle(of).color);
    expect(await colour(weight)).not.toBe(
      await colour(panel.locator(".event", { hasText: "backend-transition" })),
    );
    await picture(page, "node", 600);
    await cluster.backends(["web-3"], "ok");
    await panel.locator(".event", { hasText: /name=default\/web-3 from=down to=up/ }).waitFor(UNTIL);
    await page.context().close();
  });

  it("says that VPP is lost, and that it is back", async () => {
    const page = await open();
    // It is there and does not answer.
    cluster.vpp(NODE, "SIGSTOP");
    try {
      await tab(page, `VPP lost: ${NODE}`).waitFor(UNTIL);
      await expect.poll(() => page.locator(".vpp").innerText(), UNTIL).toContain("not connected");
      expect(await tab(page, NODE).locator(".shape.is-down").count()).toBe(1);
    } finally {
      cluster.vpp(NODE, "SIGCONT");
    }
    await tab(page, `reporting: ${NODE}`).waitFor(UNTIL);
    await expect.poll(() => page.locator(".vpp").innerText(), UNTIL).toContain("connected");
    await cluster.well(3);
    await page.context().close();
  });
});

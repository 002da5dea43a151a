// A node's tab on a cluster: cards, heartbeats of real probes, weights after a failover, the agent's events, and the
// loss of VPP.
import type { Page } from "playwright-core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { settled, useBrowser, visit } from "../browser.js";
import { flashes, recordFlashes } from "../flashes.js";
import { cluster, UNTIL } from "./cluster.js";
import { useCluster } from "./fixture.js";
import {
  heartbeatObservations,
  item,
  member,
  observeHeartbeats,
  report,
  screenshot,
  tab,
  textShownAt,
  watchText,
} from "./page.js";
import { Proxy } from "./proxy.js";

const NODE = "node-a";

const replica = useCluster();
useBrowser();

let proxy: Proxy;
let url: string;
beforeEach(async () => {
  proxy = new Proxy([replica().address]);
  url = await proxy.listen();
});
afterEach(() => proxy.close());

/** The tab with all its documents. */
async function open(): Promise<Page> {
  const { page } = await visit("about:blank");
  await recordFlashes(page);
  await page.goto(`${url}#/node/${NODE}`);
  await item(page, "default/web").locator(".pools").waitFor(UNTIL);
  await settled(page);
  return page;
}

const cells = (page: Page, frontend: string, backend: string) =>
  member(page, frontend, backend).locator("td, th").allInnerTexts();

const cardState = (page: Page, frontend: string) => item(page, frontend).locator(".card-state").innerText();

describe("a node's tab on a cluster", () => {
  it("has a card per frontend with its state, and all columns of each backend", async () => {
    const page = await open();
    expect(await page.locator(".card .card-name").allInnerTexts()).toEqual([
      "default/api",
      "default/web",
      "default/www",
    ]);
    expect(await page.locator(".card .card-state").allInnerTexts()).toEqual(["up", "up", "up"]);
    const card = item(page, "default/web");
    expect(await card.locator(".card-vip").innerText()).toBe("203.0.113.10:80 TCP");
    expect(await card.locator(".card-encap").innerText()).toMatch(/gre4/i);
    const heads = await card.locator(".pools thead th").allInnerTexts();
    expect(heads.map((head) => head.trim())).toEqual([
      "Heartbeat and path",
      "Backend",
      "Address",
      "State",
      "Weight",
      "Effective",
      "Buckets",
      "Rate",
      "Flows",
      "Since",
    ]);
    const pools = await card.locator(".pool-head").allInnerTexts();
    expect(pools.map((pool) => pool.replace(/\s+/g, " ").trim())).toEqual([
      "pool primary active",
      "pool standby not active",
    ]);
    const web1 = () => cells(page, "default/web", "default/web-1");
    // Three VIPs have its address.
    await expect.poll(async () => (await web1())[7], UNTIL).toMatch(/^[\d.]+ k?pps shared$/);
    const [, name, address, state, weight, effective, buckets, , flows, since] = await web1();
    expect([name?.trim(), address, weight, effective]).toEqual(["default/web-1", "127.0.2.1", "10", "10"]);
    expect(state).toMatch(/^\s*up L7OK$/);
    expect(since).toMatch(/^\d+ [smh]$/);
    expect(flows).toMatch(/^(0|≤ [\d.]+ ?k?)$/);
    // About a quarter of 8192.
    expect(Math.abs(Number(buckets) - 2048)).toBeLessThan(200);
    expect((await cells(page, "default/web", "default/spare-1")).slice(4, 7)).toEqual(["10", "0", "0"]);
  });

  it("shows the versions of page and agent, and when they were built or started", async () => {
    const page = await open();
    const served = (await (await fetch(`http://${replica().address}/view/api/version`)).json()) as {
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
    report(`the tooltip: ${tooltip ?? ""}`);
    expect(await page.locator(".node-title .facts").innerText()).toContain(`maglevd ${served.version}`);
  });

  it("shows a heartbeat with each probe without moving anything", async () => {
    const page = await open();
    await page.locator(".heartbeat svg").first().waitFor(UNTIL);
    await observeHeartbeats(page);
    await expect.poll(async () => (await heartbeatObservations(page)).redraws, UNTIL).toBeGreaterThan(20);
    const { redraws, shifted, sizes } = await heartbeatObservations(page);
    expect(shifted).toEqual([]);
    expect(sizes).toHaveLength(1);
    report(`${redraws} redraws, nothing shifted, every heartbeat ${sizes[0] ?? ""}`);
    expect(await page.locator(".heartbeat").first().getAttribute("aria-hidden")).toBe("true");
  });

  it("shows a failover's weights at once, from the stream alone, and flashes only what changed", async () => {
    const page = await open();
    const effective = member(page, "default/api", "default/web-1").locator("td[data-label=Effective]");
    await watchText(effective, "10");
    expect(await flashes(page)).toEqual([]);
    const requested = proxy.requested.length;
    await cluster.backends(["spare-1", "spare-2"], "fail");
    await expect.poll(() => textShownAt(page), UNTIL).toBeDefined();
    await expect.poll(() => cardState(page, "default/api"), UNTIL).toContain("standby");
    const shown = (await textShownAt(page)) ?? 0;
    const { backends } = await cluster.state(replica(), NODE);
    const failed = ["default/spare-1", "default/spare-2"].map((name) =>
      Date.parse(backends[name]?.history.at(-1)?.at ?? ""),
    );
    report(`the effective weight was shown ${shown - Math.max(...failed)} ms after the last backend failed`);
    expect(proxy.requested.slice(requested)).toEqual([]);
    const flashed = new Set((await flashes(page)).filter((name) => name.includes("/")));
    expect(flashed).toContain("default/api");
    expect(flashed).not.toContain("default/www");
    // VPP has followed: the standby pool has the buckets now.
    await expect
      .poll(async () => (await cells(page, "default/api", "default/web-1"))[6], UNTIL)
      .toMatch(/^4\d\d\d$/);
    await cluster.backends(["spare-1", "spare-2"], "ok");
    await expect.poll(() => cardState(page, "default/api"), UNTIL).toContain("up");
  });

  it("follows the agent's events with its probes, stops for a reader, pauses, filters, colours kinds", async () => {
    const page = await open();
    const panel = page.locator(".events");
    const lines = panel.locator(".event");
    const box = panel.locator(".events-lines");
    const newLines = panel.getByRole("button", { name: /^\d+ new ↓$/ });
    const distanceFromEnd = () =>
      box.evaluate(({ scrollHeight, scrollTop, clientHeight }) => scrollHeight - scrollTop - clientHeight);
    await panel.getByRole("button", { name: "probes" }).click();
    await panel.locator(".event", { hasText: "probe-done" }).first().waitFor(UNTIL);
    // More than the box shows.
    await expect
      .poll(() => box.evaluate(({ scrollHeight, clientHeight }) => scrollHeight / clientHeight), UNTIL)
      .toBeGreaterThan(1.5);
    await expect.poll(distanceFromEnd, UNTIL).toBeLessThan(2);
    // A line that comes before the page has noticed the scrolling takes the box back to its end.
    await expect
      .poll(async () => {
        await box.evaluate((element) => (element.scrollTop = 0));
        return newLines.count();
      }, UNTIL)
      .toBe(1);
    await newLines.click();
    await expect.poll(distanceFromEnd, UNTIL).toBeLessThan(2);

    await panel.getByRole("button", { name: "pause" }).click();
    const before = await lines.allInnerTexts();
    await newLines.waitFor(UNTIL);
    expect(await lines.allInnerTexts()).toEqual(before);
    await panel.getByRole("button", { name: "paused" }).click();
    await expect.poll(() => lines.allInnerTexts(), UNTIL).not.toEqual(before);

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
        .evaluate((element) => getComputedStyle(element).color);
    expect(await colour(weight)).not.toBe(
      await colour(panel.locator(".event", { hasText: "backend-transition" })),
    );
    await screenshot(page, "node", 600);
    await cluster.backends(["web-3"], "ok");
    await panel.locator(".event", { hasText: /name=default\/web-3 from=down to=up/ }).waitFor(UNTIL);
  });

  it("shows that VPP is lost, and that it is back", async () => {
    const page = await open();
    // The process exists and does not answer.
    cluster.vpp(NODE, "SIGSTOP");
    await tab(page, `VPP lost: ${NODE}`).waitFor(UNTIL);
    await expect.poll(() => page.locator(".vpp").innerText(), UNTIL).toContain("not connected");
    expect(await tab(page, NODE).locator(".shape.is-down").count()).toBe(1);
    cluster.vpp(NODE, "SIGCONT");
    await tab(page, `reporting: ${NODE}`).waitFor(UNTIL);
    await expect.poll(() => page.locator(".vpp").innerText(), UNTIL).not.toContain("not connected");
    expect(await page.locator(".vpp").innerText()).toContain("connected");
  });
});

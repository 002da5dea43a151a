// Whatever becomes of the connection and of the replicas behind it, the page shows the truth again: by what the stream
// repeats where it can, by one fetch where it cannot.
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { launch, visit } from "../browser.js";
import { flashes, recordFlashes } from "../flashes.js";
import { begin, cluster, UNTIL, type Pod } from "./cluster.js";
import { count, Gate, type GateOptions } from "./proxy.js";
import { member, row, say } from "./page.js";

// What is changed: at once, without a probe that has to fail.
const FRONTEND = "default/web";
const BACKEND = "web-2";

let browser: Browser;
let replica: Pod;
let gate: Gate | undefined;
beforeAll(async () => {
  browser = await launch();
  replica = await begin();
});
beforeEach(async () => {
  replica = await begin();
});
afterEach(async () => {
  await gate?.close();
  gate = undefined;
  await cluster.adminState(BACKEND, null);
});
afterAll(() => browser.close());

/** The page through a gate, with that frontend open. */
async function open(replicas: readonly string[], options: GateOptions = {}): Promise<[Page, Gate]> {
  const through = new Gate(replicas, options);
  gate = through;
  const url = await through.listen();
  const { page } = await visit(browser, "about:blank");
  await recordFlashes(page);
  await page.goto(`${url}#/frontend/${FRONTEND}`);
  await shows(page, "up");
  return [page, through];
}

/** Waits until the page shows the backend in this state. */
async function shows(page: Page, state: "up" | "paused"): Promise<void> {
  await expect
    .poll(() => member(page, FRONTEND, BACKEND).locator("td[data-label=State]").innerText(), UNTIL)
    .toContain(state);
}

/** Waits until that replica knows that the backend is paused. */
async function knows(of: Pod): Promise<void> {
  const up = async () => (await cluster.summary(of)).rows[FRONTEND]?.up;
  await expect.poll(() => up().catch(() => undefined), UNTIL).toBe(5);
}

describe("a page of a cluster", () => {
  it("gets what it missed in a short disconnect, and fetches nothing", async () => {
    const [page, through] = await open([replica.address]);
    await expect.poll(() => through.open().length, UNTIL).toBe(1);
    const asked = through.asked.length;
    through.refuses = true;
    through.cut();
    await cluster.adminState(BACKEND, "Paused");
    await knows(replica);
    through.refuses = false;
    const before = through.streams.length;
    await shows(page, "paused");
    const since = through.streams.slice(before);
    expect(since.map(({ resumed }) => resumed)).toEqual([true]);
    expect(count(since, "resync")).toBe(0);
    expect(through.asked.slice(asked)).toEqual([]);
    await page.locator(".banner").waitFor({ state: "detached", ...UNTIL });
    await page.context().close();
  });

  it("fetches everything anew after a restart of the dashboard, and flashes only what changed meanwhile", async () => {
    const [page, through] = await open([replica.address]);
    const asked = through.asked.length;
    expect(await flashes(page)).toEqual([]);
    const before = through.streams.length;
    cluster.dashboard(replica, "SIGKILL");
    await cluster.adminState(BACKEND, "Paused");
    await shows(page, "paused");
    await expect
      .poll(() => page.locator(".reporting").innerText(), UNTIL)
      .toContain("3 of 3 nodes reporting");
    await page.locator(".banner").waitFor({ state: "detached", ...UNTIL });
    const since = through.streams.slice(before);
    say(
      `${since.length} streams, ${count(since, "resync")} resync; fetched: ${through.asked.slice(asked).join(" ")}`,
    );
    expect(count(since, "resync")).toBe(1);
    // Once each, or again where the new process did not know the frontend yet.
    expect(new Set(through.asked.slice(asked))).toEqual(new Set(["summary", `frontend/${FRONTEND}`]));
    const flashed = await flashes(page);
    expect(flashed).toContain(FRONTEND);
    expect(flashed).not.toContain("default/www");
    await page.context().close();
  });

  it.each([true, false])("works under a prefix, taken off on the way or not: %s", async (strip) => {
    const [page, through] = await open([replica.address], { prefix: "/lb/prod", strip });
    await cluster.adminState(BACKEND, "Paused");
    await shows(page, "paused");
    expect(page.url()).toContain("/lb/prod/view/#/frontend/default/web");
    await page.keyboard.press("2");
    await page.locator(".card").first().waitFor(UNTIL);
    expect(through.asked.some((path) => path.startsWith("state/node-a"))).toBe(true);
    // The directory's own name leads there, too.
    await page.goto(page.url().replace(/view\/.*$/, ""));
    await page.locator(".rows .row-open, .card").first().waitFor(UNTIL);
    await page.context().close();
  });

  it("behind two replicas in turn is right again when one is killed, without a gap and without a loop", async () => {
    await cluster.kubectl("scale", "deployment/maglev-frontend", "--replicas=2");
    try {
      await expect.poll(async () => (await cluster.dashboards()).length, UNTIL).toBe(2);
      const replicas = await cluster.dashboards();
      for (const each of replicas) {
        const reporting = async () => (await cluster.summary(each)).totals.reporting;
        await expect.poll(() => reporting().catch(() => 0), UNTIL).toBe(3);
      }
      const [page, through] = await open(replicas.map(({ address }) => address));
      await expect.poll(() => through.open().length, UNTIL).toBe(1);
      const serving = replicas.find(({ address }) => address === through.open()[0]?.replica);
      if (!serving) throw new Error("no replica serves the page");
      const [asked, before] = [through.asked.length, through.streams.length];
      const killed = Date.now();
      cluster.dashboard(serving, "SIGKILL");
      await cluster.adminState(BACKEND, "Paused");
      await shows(page, "paused");
      await page.locator(".banner").waitFor({ state: "detached", ...UNTIL });
      say(`right ${((Date.now() - killed) / 1000).toFixed(1)} s after a replica was killed`);
      // And what comes then comes by the stream.
      const settled = through.asked.length;
      await cluster.adminState(BACKEND, null);
      await shows(page, "up");
      const since = through.streams.slice(before);
      say(`${since.length} streams, ${count(since, "resync")} resync, ${settled - asked} documents fetched`);
      expect(through.asked.slice(settled)).toEqual([]);
      expect(count(since, "resync")).toBe(1);
      expect(since.length).toBeLessThanOrEqual(3);
      expect(row(page, FRONTEND)).toBeDefined();
      await page.context().close();
    } finally {
      await cluster.kubectl("scale", "deployment/maglev-frontend", "--replicas=1");
      await expect.poll(async () => (await cluster.dashboards()).length, UNTIL).toBe(1);
    }
  });
});

// After any failure of the connection or of the replicas behind it, the page shows the present state again: from the
// messages that the stream replays where possible, otherwise from one fetch.
import type { Page } from "playwright-core";
import { afterEach, describe, expect, it } from "vitest";
import { settled, useBrowser, visit } from "../browser.js";
import { flashes, recordFlashes } from "../flashes.js";
import { cluster, UNTIL, type Pod } from "./cluster.js";
import { useCluster } from "./fixture.js";
import { member, report, row } from "./page.js";
import { countMessages, Proxy, type ProxyOptions } from "./proxy.js";

// A pause takes effect at once; a failure would need several probes.
const FRONTEND = "default/web";
const BACKEND = "web-2";

const replica = useCluster();
useBrowser();

let proxy: Proxy | undefined;
afterEach(async () => {
  await proxy?.close();
  proxy = undefined;
});

/** The page through a proxy, with that frontend open and all its documents. */
async function open(replicas: readonly string[], options: ProxyOptions = {}): Promise<[Page, Proxy]> {
  const opened = new Proxy(replicas, options);
  proxy = opened;
  const url = await opened.listen();
  const { page } = await visit("about:blank");
  await recordFlashes(page);
  await page.goto(`${url}#/frontend/${FRONTEND}`);
  await stateShown(page, "up");
  await settled(page);
  await expect.poll(() => opened.openStreams().length, UNTIL).toBe(1);
  return [page, opened];
}

/** Waits until the page shows the backend in this state. */
async function stateShown(page: Page, state: "up" | "paused"): Promise<void> {
  await expect
    .poll(() => member(page, FRONTEND, BACKEND).locator("td[data-label=State]").innerText(), UNTIL)
    .toContain(state);
}

/** Waits until the replica's summary counts the backend as paused. */
async function pauseReceived(pod: Pod): Promise<void> {
  const up = async () => (await cluster.summary(pod)).rows[FRONTEND]?.up;
  await expect.poll(() => up().catch(() => undefined), UNTIL).toBe(5);
}

describe("a page of a cluster", () => {
  it("receives what it missed in a short disconnect, and fetches nothing", async () => {
    const [page, through] = await open([replica().address]);
    const requested = through.requested.length;
    through.refusing = true;
    through.breakStreams();
    await cluster.adminState(BACKEND, "Paused");
    await pauseReceived(replica());
    const before = through.streams.length;
    through.refusing = false;
    await stateShown(page, "paused");
    const since = through.streams.slice(before);
    expect(since.map(({ resumed }) => resumed)).toEqual([true]);
    expect(countMessages(since, "resync")).toBe(0);
    expect(through.requested.slice(requested)).toEqual([]);
    await page.locator(".banner").waitFor({ state: "detached", ...UNTIL });
  });

  it("fetches everything anew after a restart of the dashboard, and flashes only what changed meanwhile", async () => {
    const [page, through] = await open([replica().address]);
    const requested = through.requested.length;
    expect(await flashes(page)).toEqual([]);
    const before = through.streams.length;
    cluster.dashboard(replica(), "SIGKILL");
    await cluster.adminState(BACKEND, "Paused");
    await stateShown(page, "paused");
    await expect
      .poll(() => page.locator(".reporting").innerText(), UNTIL)
      .toContain("3 of 3 nodes reporting");
    await page.locator(".banner").waitFor({ state: "detached", ...UNTIL });
    await settled(page);
    const since = through.streams.slice(before);
    const paths = through.requested.slice(requested);
    report(`${since.length} streams, ${countMessages(since, "resync")} resync; fetched: ${paths.join(" ")}`);
    expect(countMessages(since, "resync")).toBe(1);
    // Once each, or again where the new process did not have the frontend yet.
    expect(new Set(paths)).toEqual(new Set(["summary", `frontend/${FRONTEND}`]));
    const flashed = await flashes(page);
    expect(flashed).toContain(FRONTEND);
    expect(flashed).not.toContain("default/www");
  });

  it.each([true, false])("works under a prefix (removed by the proxy: %s)", async (strip) => {
    const [page, through] = await open([replica().address], { prefix: "/lb/prod", strip });
    await cluster.adminState(BACKEND, "Paused");
    await stateShown(page, "paused");
    expect(page.url()).toContain("/lb/prod/view/#/frontend/default/web");
    await page.keyboard.press("2");
    await page.locator(".card").first().waitFor(UNTIL);
    expect(through.requested.some((path) => path.startsWith("state/node-a"))).toBe(true);
    // The parent directory redirects to the page.
    await page.goto(page.url().replace(/view\/.*$/, ""));
    await page.locator(".rows .row-open, .card").first().waitFor(UNTIL);
  });

  it("recovers behind two replicas when one is killed, without a gap and without a loop", async () => {
    await cluster.kubectl("scale", "deployment/maglev-frontend", "--replicas=2");
    await expect.poll(async () => (await cluster.dashboards()).length, UNTIL).toBe(2);
    await cluster.healthy();
    const replicas = await cluster.dashboards();
    for (const pod of replicas) {
      const reporting = async () => (await cluster.summary(pod)).totals.reporting;
      await expect.poll(() => reporting().catch(() => 0), UNTIL).toBe(3);
    }
    const [page, through] = await open(replicas.map(({ address }) => address));
    const serving = replicas.find(({ address }) => address === through.openStreams()[0]?.replica);
    if (!serving) throw new Error("no replica serves the page");
    const [requested, before] = [through.requested.length, through.streams.length];
    const killed = Date.now();
    cluster.dashboard(serving, "SIGKILL");
    await cluster.adminState(BACKEND, "Paused");
    await stateShown(page, "paused");
    await page.locator(".banner").waitFor({ state: "detached", ...UNTIL });
    report(`recovered ${((Date.now() - killed) / 1000).toFixed(1)} s after a replica was killed`);
    await settled(page);
    // Later changes arrive by the stream.
    const afterRecovery = through.requested.length;
    await cluster.adminState(BACKEND, null);
    await stateShown(page, "up");
    const since = through.streams.slice(before);
    report(
      `${since.length} streams, ${countMessages(since, "resync")} resync, ${afterRecovery - requested} documents fetched`,
    );
    expect(through.requested.slice(afterRecovery)).toEqual([]);
    expect(countMessages(since, "resync")).toBe(1);
    expect(since.length).toBeLessThanOrEqual(3);
    expect(row(page, FRONTEND)).toBeDefined();
  });
});

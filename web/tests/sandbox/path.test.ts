// The marks of paths that agents probe. They work if the sandbox forwards packets, and fail otherwise.
import type { Page } from "playwright-core";
import { describe, expect, it, vi } from "vitest";
import { settled, useBrowser, visit } from "../browser.js";
import type { PathDetail } from "../../src/sync/contract.js";
import { cluster, UNTIL } from "./cluster.js";
import { useCluster } from "./fixture.js";
import { item, member, report, screenshot } from "./page.js";

const NODES = ["node-a", "node-b", "node-c"] as const;
const FRONTEND = "default/web";

const replica = useCluster();
useBrowser();

async function open(hash: string): Promise<Page> {
  const { page } = await visit(`http://${replica().address}/view/${hash}`);
  await item(page, FRONTEND).locator(".pools").waitFor(UNTIL);
  await settled(page);
  return page;
}

/** The paths of the Frontend's members on a node, once all have been probed. */
function probedPaths(node: string): Promise<Map<string, PathDetail>> {
  return vi.waitFor(async () => {
    const { frontends } = await cluster.state(replica(), node);
    const pools = Object.values(frontends[FRONTEND]?.pools ?? {});
    const paths = pools.flatMap(({ members }) =>
      Object.entries(members).map(([backend, { path }]) => {
        if (path === undefined || path.state === "Unknown") throw new Error(`${backend} is not probed yet`);
        return [backend, path] as const;
      }),
    );
    if (paths.length === 0) throw new Error(`${FRONTEND} has no members`);
    return new Map(paths);
  }, UNTIL);
}

const mark = (page: Page, backend: string) =>
  member(page, FRONTEND, backend).locator(".marks").getByRole("img");

const heads = (page: Page) => item(page, FRONTEND).locator(".pools thead th").allInnerTexts();

describe("the path to a backend", () => {
  it("is marked on a node's tab as its agent reports it", async () => {
    const paths = await probedPaths("node-a");
    const page = await open("#/node/node-a");
    expect((await heads(page))[0]).toBe("Heartbeat and path");
    for (const [backend, { state, detail }] of paths) {
      const one = mark(page, backend);
      await expect.poll(() => one.getAttribute("aria-label"), UNTIL).toBe(`VIP path: ${state}`);
      expect(await one.getAttribute("title")).toContain(detail ?? "the VIP answers through the tunnel");
    }
    const overflow = await item(page, FRONTEND)
      .locator(".card-body")
      .evaluate((body) => body.scrollWidth - body.clientWidth);
    expect(overflow).toBe(0);
    report(`the states: ${[...new Set([...paths.values()].map(({ state }) => state))].join()}`);
    await screenshot(page, "path");
  });

  it("is marked over all nodes", async () => {
    const perNode = await Promise.all(NODES.map(probedPaths));
    const states = new Set(perNode.map((paths) => paths.get("default/web-1")?.state));
    // Every node has the same network.
    expect(states.size).toBe(1);
    const page = await open(`#/frontend/${FRONTEND}`);
    expect((await heads(page))[0]).toBe("Path");
    await expect
      .poll(() => mark(page, "default/web-1").getAttribute("aria-label"), UNTIL)
      .toBe(`VIP path: ${[...states].join()}`);
    const text = await member(page, FRONTEND, "default/web-1").locator("[data-label=State]").innerText();
    expect(text.trim()).toBe(states.has("PathOK") ? "up L7OK" : `up L7OK ${[...states].join()}`);
  });

  it("loses its mark when the probe is switched off, and gets it back", async () => {
    await probedPaths("node-a");
    const page = await open("#/node/node-a");
    const marks = item(page, FRONTEND).locator(".path-mark");
    const count = await marks.count();
    expect(count).toBeGreaterThan(0);
    const setMode = (mode: string) =>
      cluster.kubectl(
        "patch",
        "frontend.maglev.vpp.io",
        "web",
        "--type=merge",
        "-p",
        JSON.stringify({ spec: { pathProbe: { mode } } }),
      );
    await setMode("Off");
    await expect.poll(() => marks.count(), UNTIL).toBe(0);
    await expect.poll(async () => (await heads(page))[0], UNTIL).toBe("Heartbeat");
    await setMode("Report");
    await expect.poll(() => marks.count(), UNTIL).toBe(count);
  });
});

// The Kubernetes objects as the page shows them: every condition, the desired and the programmed generation, and the
// author of the last change.
import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { useBrowser, visit } from "../browser.js";
import { cluster, UNTIL } from "./cluster.js";
import { frontend, useCluster } from "./fixture.js";
import { item, row, screenshot } from "./page.js";

const replica = useCluster();
useBrowser();
const url = () => `http://${replica().address}/view/`;

interface Status {
  readonly metadata: { readonly generation: number };
  readonly status: { readonly conditions: readonly { readonly type: string }[] };
}

const get = async (kind: string, name: string) =>
  JSON.parse(await cluster.kubectl("get", `${kind}.maglev.vpp.io`, name, "-o", "json")) as Status;

const block = (page: Page, label: string) => page.getByRole("region", { name: label, exact: true });

/** The types of the conditions that a block shows. */
async function shownConditions(page: Page, label: string): Promise<string[]> {
  return (await block(page, label).locator(".conditions li > .strong:first-of-type").allInnerTexts()).sort();
}

/** Waits until a block shows exactly the conditions that the object has. */
async function conditionsMatch(page: Page, label: string, kind: string, name: string): Promise<void> {
  await expect
    .poll(async () => {
      const { status } = await get(kind, name);
      const stored = status.conditions.map(({ type }) => type).sort();
      return { shown: await shownConditions(page, label), stored };
    }, UNTIL)
    .toSatisfy(({ shown, stored }: Record<string, string[]>) => shown?.join() === stored?.join());
}

describe("an object on the page", () => {
  it("shows every condition, and the desired and the programmed generation", async () => {
    const { page } = await visit(`${url()}#/frontend/default/web`);
    const label = "Frontend default/web";
    await block(page, label).waitFor(UNTIL);
    const before = await get("frontends", "web");
    await conditionsMatch(page, label, "frontends", "web");
    expect(await shownConditions(page, label)).toEqual(
      expect.arrayContaining(["Accepted", "Available", "Programmed", "Ready", "ResolvedRefs"]),
    );
    const patch = JSON.stringify([{ op: "add", path: "/spec/pools/0/backends/0/weight", value: 20 }]);
    await cluster.kubectl("patch", "frontends.maglev.vpp.io", "web", "--type=json", "-p", patch);
    const { generation } = (await get("frontends", "web")).metadata;
    expect(generation).toBe(before.metadata.generation + 1);
    await expect
      .poll(() => block(page, label).innerText(), UNTIL)
      .toMatch(
        new RegExp(`generation ${generation} · programmed ${generation} on 3 nodes · changed by kubectl`),
      );
    // Without packets in the sandbox no path works.
    const wrong = block(page, label).locator(".conditions li.wrong").filter({ hasNotText: "PathReady" });
    await expect.poll(() => wrong.count(), UNTIL).toBe(0);
    await page.locator("details.others > summary").click();
    for (const [kind, plural, name] of [
      ["Backend", "backends", "web-1"],
      ["HealthCheck", "healthchecks", "web"],
    ] as const) {
      const { metadata } = await get(plural, name);
      const details = page.locator("details.other", { hasText: `${kind} default/${name}` }).first();
      await details.locator("summary").click();
      await conditionsMatch(page, `${kind} default/${name}`, plural, name);
      await expect.poll(() => details.innerText(), UNTIL).toContain(`generation ${metadata.generation}`);
    }
    await screenshot(page, "frontend");
  });

  it("of a node, and of the config that it uses, is on the node's tab", async () => {
    await cluster.apply({
      apiVersion: "maglev.vpp.io/v1alpha1",
      kind: "LoadBalancerConfig",
      metadata: { name: "edge" },
      spec: { nodeSelector: { "kubernetes.io/hostname": "node-a" } },
    });
    const { page, errors } = await visit(`${url()}#/node/node-a`);
    await block(page, "LoadBalancerConfig edge").waitFor(UNTIL);
    for (const [label, kind, name] of [
      ["MaglevNode node-a", "maglevnodes", "node-a"],
      ["LoadBalancerConfig edge", "loadbalancerconfigs", "edge"],
    ] as const) {
      await expect.poll(() => shownConditions(page, label), UNTIL).toContain("Ready");
      await conditionsMatch(page, label, kind, name);
      const { metadata } = await get(kind, name);
      await expect
        .poll(() => block(page, label).innerText(), UNTIL)
        .toContain(`generation ${metadata.generation}`);
    }
    // Without a reload, by the stream.
    await cluster.remove("loadbalancerconfigs", "edge");
    await block(page, "LoadBalancerConfig edge").waitFor({ state: "detached", ...UNTIL });
    expect(errors).toEqual([]);
  });

  it("shows the conditions that exist only while they are true", async () => {
    await cluster.apply(frontend("rival", "203.0.113.10", { primary: ["web-1"] }));
    const { page } = await visit(`${url()}#/frontend/default/rival`);
    await row(page, "default/rival").waitFor(UNTIL);
    const label = "Frontend default/rival";
    await expect.poll(() => shownConditions(page, label), UNTIL).toContain("Conflicted");
    await conditionsMatch(page, label, "frontends", "rival");
    expect(await block(page, label).innerText()).toMatch(/Conflicted[^]*older Frontend "web"/);
    await cluster.remove("frontends", "rival");
    await item(page, "default/rival").waitFor({ state: "detached", ...UNTIL });
  });
});

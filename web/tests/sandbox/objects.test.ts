// What Kubernetes says of objects, as the page shows it: every condition, the generation that is wanted and the one that
// is programmed, and who changed it.
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launch, visit } from "../browser.js";
import { begin, cluster, frontend, UNTIL, type Pod } from "./cluster.js";
import { of, picture, row } from "./page.js";

let browser: Browser;
let replica: Pod;
let url: string;
beforeAll(async () => {
  browser = await launch();
  replica = await begin();
  url = `http://${replica.address}/view/`;
});
afterAll(async () => {
  await cluster.remove("frontends", "rival");
  await cluster.remove("loadbalancerconfigs", "edge");
  await browser.close();
});

interface Status {
  readonly metadata: { readonly generation: number };
  readonly status: { readonly conditions: readonly { readonly type: string }[] };
}

const get = async (kind: string, name: string) =>
  JSON.parse(await cluster.kubectl("get", `${kind}.maglev.vpp.io`, name, "-o", "json")) as Status;

const block = (page: Page, label: string) => page.getByRole("region", { name: label, exact: true });

/** The types of the conditions that a block shows. */
async function conditions(page: Page, label: string): Promise<string[]> {
  return (await block(page, label).locator(".conditions li > .strong:first-of-type").allInnerTexts()).sort();
}

describe("an object on the page", () => {
  it("shows every condition it has, and its generations as they are wanted and programmed", async () => {
    const { page } = await visit(browser, `${url}#/frontend/default/web`);
    const label = "Frontend default/web";
    await block(page, label).waitFor(UNTIL);
    const before = await get("frontends", "web");
    await expect
      .poll(() => conditions(page, label), UNTIL)
      .toEqual(before.status.conditions.map(({ type }) => type).sort());
    expect(await conditions(page, label)).toEqual(
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
    await expect.poll(() => block(page, label).locator(".conditions li.wrong").count(), UNTIL).toBe(0);
    for (const [kind, plural, name] of [
      ["Backend", "backends", "web-1"],
      ["HealthCheck", "healthchecks", "web"],
    ] as const) {
      const { metadata, status } = await get(plural, name);
      const details = page.locator("details.other", { hasText: `${kind} default/${name}` }).first();
      if (!(await page.locator("details.others").evaluate((of) => (of as HTMLDetailsElement).open)))
        await page.locator("details.others > summary").click();
      await details.locator("summary").click();
      expect(await conditions(page, `${kind} default/${name}`)).toEqual(
        status.conditions.map(({ type }) => type).sort(),
      );
      expect(await details.innerText()).toContain(`generation ${metadata.generation}`);
    }
    await picture(page, "frontend");
    const back = JSON.stringify([{ op: "remove", path: "/spec/pools/0/backends/0/weight" }]);
    await cluster.kubectl("patch", "frontends.maglev.vpp.io", "web", "--type=json", "-p", back);
    await page.context().close();
  });

  it("shows a node's, and those of the config that it uses, on its tab", async () => {
    await cluster.apply({
      apiVersion: "maglev.vpp.io/v1alpha1",
      kind: "LoadBalancerConfig",
      metadata: { name: "edge" },
      spec: { nodeSelector: { "kubernetes.io/hostname": "node-a" } },
    });
    const { page, complaints } = await visit(browser, `${url}#/node/node-a`);
    await block(page, "LoadBalancerConfig edge").waitFor(UNTIL);
    for (const [label, kind, name] of [
      ["MaglevNode node-a", "maglevnodes", "node-a"],
      ["LoadBalancerConfig edge", "loadbalancerconfigs", "edge"],
    ] as const) {
      await expect.poll(() => conditions(page, label), UNTIL).toContain("Ready");
      const { metadata, status } = await get(kind, name);
      expect(await conditions(page, label)).toEqual(status.conditions.map(({ type }) => type).sort());
      expect(await block(page, label).innerText()).toContain(`generation ${metadata.generation}`);
    }
    // By the stream: nobody reloads.
    await cluster.remove("loadbalancerconfigs", "edge");
    await block(page, "LoadBalancerConfig edge").waitFor({ state: "detached", ...UNTIL });
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it("shows the conditions that are there only when they are true", async () => {
    await cluster.apply(frontend("rival", "203.0.113.10", { primary: ["web-1"] }));
    const { page } = await visit(browser, `${url}#/frontend/default/rival`);
    await row(page, "default/rival").waitFor(UNTIL);
    const label = "Frontend default/rival";
    await expect.poll(() => conditions(page, label), UNTIL).toContain("Conflicted");
    const { status } = await get("frontends", "rival");
    await expect
      .poll(() => conditions(page, label), UNTIL)
      .toEqual(status.conditions.map(({ type }) => type).sort());
    expect(await block(page, label).innerText()).toMatch(/Conflicted[^]*older Frontend "web"/);
    await cluster.remove("frontends", "rival");
    await of(page, "default/rival").waitFor({ state: "detached", ...UNTIL });
    await page.context().close();
  });
});

// Signing in to read the dashboard of a release that requires it, with tokens of real users.
import { describe, expect, it, vi } from "vitest";
import { useBrowser, visit } from "../browser.js";
import { cluster, UNTIL, type Pod } from "./cluster.js";
import { useCluster } from "./fixture.js";

const KEY = "sign-in-key";

useCluster({
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name: KEY },
  type: "Opaque",
  stringData: { key: "k".repeat(64) },
});
useBrowser();

/** Creates a ServiceAccount and returns a token. */
async function account(name: string): Promise<string> {
  await cluster.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name } });
  return (await cluster.kubectl("create", "token", name)).trim();
}

/** Binds a ServiceAccount to the chart's role for users who read. */
async function allowReading(name: string): Promise<void> {
  const rbac = "rbac.authorization.k8s.io";
  await cluster.apply({
    apiVersion: `${rbac}/v1`,
    kind: "ClusterRoleBinding",
    metadata: { name },
    roleRef: { apiGroup: rbac, kind: "ClusterRole", name: "maglev-view" },
    subjects: [{ kind: "ServiceAccount", name, namespace: "default" }],
  });
}

/** The one replica after the rollout. `healthy` would have to sign in. */
function replica(): Promise<Pod> {
  return vi.waitFor(async () => {
    const [pod, ...others] = await cluster.dashboards();
    if (!pod || others.length > 0) throw new Error("the rollout goes on");
    return pod;
  }, UNTIL);
}

describe("reading with a Kubernetes token", () => {
  it("is for users with the chart's role maglev-view, until they sign out", async () => {
    const [viewer, stranger] = [await account("page-viewer"), await account("page-stranger")];
    await allowReading("page-viewer");
    await cluster.upgrade("dashboard.auth.mode=token", `dashboard.admin.keySecret.name=${KEY}`);
    const url = `http://${(await replica()).address}/view/`;
    expect((await fetch(`${url}api/summary`)).status).toBe(401);

    const { page, errors } = await visit(url);
    const form = page.getByRole("heading", { name: "Sign in to see the load balancer" });
    const signIn = async (token: string) => {
      await page.getByLabel("Kubernetes token").fill(token);
      await page.getByRole("button", { name: "sign in" }).click();
    };
    await form.waitFor(UNTIL);
    await signIn(stranger);
    await page
      .getByRole("alert")
      .getByText("system:serviceaccount:default:page-stranger may not list")
      .waitFor(UNTIL);
    await signIn(viewer);
    await page.locator(`[data-name="default/web"]`).waitFor(UNTIL);
    await page.getByText(/3 of 3 nodes reporting/).waitFor(UNTIL);
    expect(await page.locator(".change-button").count()).toBe(0);
    await page.reload();
    await page.locator(`[data-name="default/web"]`).waitFor(UNTIL);

    await page.getByRole("button", { name: /^sign out system:serviceaccount/ }).click();
    await form.waitFor(UNTIL);
    await page.reload();
    await form.waitFor(UNTIL);
    expect(errors).toEqual([]);
  });
});

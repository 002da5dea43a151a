// Operator changes from the page of a release that allows them: after signing in with a Kubernetes token or a password,
// a user pauses a Backend and sets a weight, and every agent follows.
import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { useBrowser, visit } from "../browser.js";
import { cluster, UNTIL } from "./cluster.js";
import { useCluster } from "./fixture.js";
import { item, member, screenshot } from "./page.js";

const NODE = "node-b";
const KEY = "admin-key";
const CREDENTIALS = "admin-credentials";

const secret = (name: string, type: string, stringData: Record<string, string>) => ({
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name },
  type,
  stringData,
});

useCluster(secret(KEY, "Opaque", { key: "k".repeat(64) }));
useBrowser();

/** Creates a ServiceAccount with `verbs` on Backends and Frontends that may also create Events, and returns a token. */
async function account(name: string, verbs: readonly string[]): Promise<string> {
  const metadata = { name, namespace: "default", labels: { test: "admin" } };
  const rules = [
    { apiGroups: ["maglev.vpp.io"], resources: ["backends", "frontends"], verbs },
    { apiGroups: ["events.k8s.io"], resources: ["events"], verbs: ["create"] },
  ];
  const rbac = "rbac.authorization.k8s.io";
  await cluster.apply(
    { apiVersion: "v1", kind: "ServiceAccount", metadata },
    { apiVersion: `${rbac}/v1`, kind: "Role", metadata, rules },
    {
      apiVersion: `${rbac}/v1`,
      kind: "RoleBinding",
      metadata,
      roleRef: { apiGroup: rbac, kind: "Role", name },
      subjects: [{ kind: "ServiceAccount", name, namespace: "default" }],
    },
  );
  return (await cluster.kubectl("create", "token", name)).trim();
}

/** A node's tab of the present dashboard, once the cluster is healthy. */
async function open(): Promise<Page> {
  const { address } = await cluster.healthy();
  const { page } = await visit(`http://${address}/view/#/node/${NODE}`);
  await item(page, "default/web").locator(".pools").waitFor(UNTIL);
  return page;
}

const dialog = (page: Page) => page.getByRole("dialog", { name: "Operator change" });

async function openDialog(page: Page, frontend: string, backend: string): Promise<void> {
  await member(page, frontend, backend)
    .getByRole("button", { name: `change default/${backend}` })
    .click();
}

const submit = (page: Page, name: string) => dialog(page).getByRole("button", { name }).click();

/** Fills in the fields of the form by their labels, and signs in. */
async function signIn(page: Page, fields: Record<string, string>): Promise<void> {
  for (const [label, text] of Object.entries(fields)) await dialog(page).getByLabel(label).fill(text);
  await submit(page, "sign in");
}

const choose = (page: Page, name: RegExp) => dialog(page).getByRole("radio", { name }).check();

/** Applies the chosen change, and waits until it is in effect on every node. */
async function applyChange(page: Page): Promise<void> {
  await submit(page, "apply change");
  await textShown(page, /in effect on 3\/3 nodes/);
}

const errorShown = (page: Page) => dialog(page).getByRole("alert").filter({ hasText: /\S/ }).waitFor(UNTIL);

const textShown = (page: Page, text: RegExp) => dialog(page).getByText(text).first().waitFor(UNTIL);

async function stored(
  kind: string,
  name: string,
): Promise<{ readonly metadata: object; readonly spec: object }> {
  return JSON.parse(await cluster.kubectl("get", `${kind}.maglev.vpp.io`, name, "-o", "json")) as {
    metadata: object;
    spec: object;
  };
}

const cells = (page: Page, frontend: string, backend: string) =>
  member(page, frontend, backend).locator("td, th").allInnerTexts();

describe("operator changes on the page", () => {
  it("are not offered if the release does not allow them", async () => {
    const page = await open();
    expect(await page.locator(".change-button").count()).toBe(0);
  });

  it("are made with the rights of a Kubernetes token, and every agent follows", async () => {
    const [editor, reader] = [await account("editor", ["get", "patch"]), await account("reader", ["get"])];
    await cluster.upgrade("dashboard.admin.mode=token", `dashboard.admin.keySecret.name=${KEY}`);
    const page = await open();

    await openDialog(page, "default/web", "web-1");
    await signIn(page, { "Kubernetes token": "not-a-token" });
    await errorShown(page);
    // The token is cleared, whatever the response.
    expect(await dialog(page).getByLabel("Kubernetes token").inputValue()).toBe("");

    // A reader can sign in and cannot change anything.
    await signIn(page, { "Kubernetes token": reader });
    await choose(page, /^Pause/);
    await textShown(page, /^Affects .*default\/web/);
    await submit(page, "apply change");
    await textShown(page, /cannot patch|forbidden/);
    expect((await stored("backends", "web-1")).spec).not.toMatchObject({ adminState: "Paused" });
    await submit(page, "close");
    await page.getByRole("button", { name: /sign out/ }).click();

    await openDialog(page, "default/web", "web-1");
    await signIn(page, { "Kubernetes token": editor });
    await choose(page, /^Pause/);
    await textShown(page, /^Affects .*default\/web/);
    await textShown(
      page,
      /^default\/web, .* updated; new flows moved .*\(from web-1 .*; tracked flows kept$/,
    );
    await dialog(page).getByLabel("Reason").fill("disk is failing");
    await screenshot(page, "change");
    await applyChange(page);
    await submit(page, "close");
    await expect.poll(() => cells(page, "default/web", "web-1"), UNTIL).toContain("paused");
    const { metadata, spec } = await stored("backends", "web-1");
    expect(spec).toMatchObject({ adminState: "Paused" });
    expect(JSON.stringify(metadata)).toContain("disk is failing");
    expect(JSON.stringify(metadata)).toContain("system:serviceaccount:default:editor");

    // Only the HttpOnly cookie holds the session: it survives a reload, and neither scripts nor storage can read it.
    await page.reload();
    await openDialog(page, "default/web", "web-1");
    await choose(page, /^Enable/);
    await textShown(page, /^Affects .*default\/web/);
    const readable = await page.evaluate(() =>
      [document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage), location.href].join(),
    );
    expect(readable).not.toContain(editor);
    expect(readable).not.toMatch(/maglev-session|csrf/i);
    await applyChange(page);
    await submit(page, "close");

    // A weight, and then a change that would leave a Frontend without traffic, which needs force.
    await openDialog(page, "default/www", "web-3");
    await choose(page, /^Weight/);
    await dialog(page).getByLabel("weight, 0 to 100").fill("0");
    await textShown(page, /^Affects default\/www\.$/);
    await applyChange(page);
    await submit(page, "close");
    await expect
      .poll(
        async () => (await cells(page, "default/www", "web-3")).slice(4, 6).map((text) => text.trim()),
        UNTIL,
      )
      .toEqual(["0", "0"]);
    await openDialog(page, "default/www", "web-4");
    await choose(page, /^Disable/);
    await textShown(page, /^Leaves default\/www without any effective weight/);
    expect(await dialog(page).getByRole("button", { name: "apply change" }).isDisabled()).toBe(true);
    await dialog(page).getByLabel("apply anyway").check();
    await applyChange(page);
    await submit(page, "close");
    await expect.poll(() => item(page, "default/www").locator(".card-state").innerText(), UNTIL).toBe("down");
  });

  it("are made by a user with a password, in the namespaces that the release allows", async () => {
    const password = "correct horse battery";
    await cluster.apply(secret(CREDENTIALS, "kubernetes.io/basic-auth", { username: "ada", password }));
    await cluster.upgrade(
      "dashboard.admin.mode=basic",
      `dashboard.admin.keySecret.name=${KEY}`,
      `dashboard.admin.credentialsSecret.name=${CREDENTIALS}`,
      "dashboard.admin.namespaces={default}",
    );
    const page = await open();
    await openDialog(page, "default/api", "spare-1");
    await signIn(page, { User: "ada", Password: "wrong" });
    await errorShown(page);
    await signIn(page, { User: "ada", Password: password });
    await choose(page, /^Pause/);
    await textShown(page, /^Affects .*default\/api/);
    await applyChange(page);
    await textShown(page, /recorded as a change by dashboard user ada/);
    await submit(page, "close");
    await page.getByRole("button", { name: /sign out/ }).click();
    await openDialog(page, "default/api", "spare-1");
    await dialog(page).getByLabel("Password").waitFor(UNTIL);
  });
});

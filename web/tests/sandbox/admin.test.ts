// Changes by hand from the page of a release that allows them: who signs in with a Kubernetes token, and who with a
// password, pauses a Backend and sets a weight, and every agent follows.
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launch, visit } from "../browser.js";
import { begin, cluster, UNTIL } from "./cluster.js";
import { member, of, picture } from "./page.js";

const NODE = "node-b";
const KEY = "admin-key";
const CREDENTIALS = "admin-credentials";

let browser: Browser;

beforeAll(async () => {
  browser = await launch();
  await begin();
  await cluster.apply(secret(KEY, "Opaque", { key: "k".repeat(64) }));
});
afterAll(async () => {
  await cluster.upgrade("dashboard.admin.mode=off", "dashboard.admin.namespaces=null");
  await cluster.kubectl("delete", "secret", KEY, CREDENTIALS, "--ignore-not-found");
  await cluster.kubectl("delete", "serviceaccount,role,rolebinding", "-l", "test=admin");
  await browser.close();
});

const secret = (name: string, type: string, stringData: Record<string, string>) => ({
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name },
  type,
  stringData,
});

/** A ServiceAccount that may do `verbs` to Backends and Frontends, and tell of it. */
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

/** A node's tab of a dashboard that rolled out just now, once all is well. */
async function open(): Promise<Page> {
  const { address } = await cluster.well(3);
  const { page } = await visit(browser, `http://${address}/view/#/node/${NODE}`);
  await of(page, "default/web").locator(".pools").waitFor(UNTIL);
  return page;
}

const dialog = (page: Page) => page.getByRole("dialog", { name: "Change by hand" });

async function change(page: Page, frontend: string, backend: string): Promise<void> {
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

const choose = (page: Page, what: RegExp) => dialog(page).getByRole("radio", { name: what }).check();

/** Makes the change that was chosen, and waits until every node has it. */
async function make(page: Page): Promise<void> {
  await submit(page, "make the change");
  await says(page, /in effect on 3\/3 nodes/);
}

const refused = (page: Page) => dialog(page).getByRole("alert").filter({ hasText: /\S/ }).waitFor(UNTIL);

const says = (page: Page, what: RegExp) => dialog(page).getByText(what).first().waitFor(UNTIL);

async function stored(
  kind: string,
  name: string,
): Promise<{ readonly metadata: object; readonly spec: object }> {
  return JSON.parse(await cluster.kubectl("get", `${kind}.maglev.vpp.io`, name, "-o", "json")) as {
    metadata: object;
    spec: object;
  };
}

const texts = (page: Page, frontend: string, backend: string) =>
  member(page, frontend, backend).locator("td, th").allInnerTexts();

describe("changes by hand on the page", () => {
  it("are not offered where the release does not allow them", async () => {
    const page = await open();
    expect(await page.locator(".change-button").count()).toBe(0);
    await page.context().close();
  });

  it("are made with the rights of a Kubernetes token, and every agent follows", async () => {
    const [editor, reader] = [await account("editor", ["get", "patch"]), await account("reader", ["get"])];
    await cluster.upgrade("dashboard.admin.mode=token", `dashboard.admin.keySecret.name=${KEY}`);
    const page = await open();

    await change(page, "default/web", "web-1");
    await signIn(page, { "Kubernetes token": "not-a-token" });
    await refused(page);
    // What was typed is not kept, whatever the answer.
    expect(await dialog(page).getByLabel("Kubernetes token").inputValue()).toBe("");

    // Who may only read signs in, and may not change.
    await signIn(page, { "Kubernetes token": reader });
    await choose(page, /^Pause/);
    await says(page, /^It touches .*default\/web/);
    await submit(page, "make the change");
    await says(page, /cannot patch|forbidden/);
    expect((await stored("backends", "web-1")).spec).not.toMatchObject({ adminState: "Paused" });
    await submit(page, "close");
    await page.getByRole("button", { name: /sign out/ }).click();

    await change(page, "default/web", "web-1");
    await signIn(page, { "Kubernetes token": editor });
    await choose(page, /^Pause/);
    await says(page, /^It touches .*default\/web/);
    await dialog(page).getByLabel("Why").fill("it is too hot");
    await picture(page, "change");
    await make(page);
    await submit(page, "close");
    await expect.poll(() => texts(page, "default/web", "web-1"), UNTIL).toContain("paused");
    const { metadata, spec } = await stored("backends", "web-1");
    expect(spec).toMatchObject({ adminState: "Paused" });
    expect(JSON.stringify(metadata)).toContain("it is too hot");
    expect(JSON.stringify(metadata)).toContain("system:serviceaccount:default:editor");

    // The cookie is all that there is of it: a reload finds it, scripts and storage do not.
    await page.reload();
    await change(page, "default/web", "web-1");
    await choose(page, /^Enable/);
    await says(page, /^It touches .*default\/web/);
    const kept = await page.evaluate(() =>
      [document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage), location.href].join(),
    );
    expect(kept).not.toContain(editor);
    expect(kept).not.toMatch(/maglev-admin|csrf/i);
    await make(page);
    await submit(page, "close");

    // A weight, and then one that would leave a Frontend with nothing unless it is forced.
    await change(page, "default/www", "web-3");
    await choose(page, /^Weight/);
    await dialog(page).getByLabel("weight, 0 to 100").fill("0");
    await says(page, /^It touches default\/www\.$/);
    await make(page);
    await submit(page, "close");
    await expect
      .poll(
        async () => (await texts(page, "default/www", "web-3")).slice(4, 6).map((text) => text.trim()),
        UNTIL,
      )
      .toEqual(["0", "0"]);
    await change(page, "default/www", "web-4");
    await choose(page, /^Disable/);
    await says(page, /^It leaves default\/www without any effective weight/);
    expect(await dialog(page).getByRole("button", { name: "make the change" }).isDisabled()).toBe(true);
    await dialog(page).getByLabel("do it all the same").check();
    await make(page);
    await submit(page, "close");
    await expect.poll(() => of(page, "default/www").locator(".card-state").innerText(), UNTIL).toBe("down");
    await page.context().close();

    await cluster.kubectl("patch", "backends.maglev.vpp.io", "web-4", "--type=json", "-p", REMOVE_STATE);
    await begin();
  });

  it("are made by a user with a password, who may only where the release says so", async () => {
    const password = "correct horse battery";
    await cluster.apply(secret(CREDENTIALS, "kubernetes.io/basic-auth", { username: "ada", password }));
    await cluster.upgrade(
      "dashboard.admin.mode=basic",
      `dashboard.admin.keySecret.name=${KEY}`,
      `dashboard.admin.credentialsSecret.name=${CREDENTIALS}`,
      "dashboard.admin.namespaces={default}",
    );
    const page = await open();
    await change(page, "default/api", "spare-1");
    await signIn(page, { User: "ada", Password: "wrong" });
    await refused(page);
    await signIn(page, { User: "ada", Password: password });
    await choose(page, /^Pause/);
    await says(page, /^It touches .*default\/api/);
    await make(page);
    await says(page, /recorded for dashboard user ada/);
    await submit(page, "close");
    await page.getByRole("button", { name: /sign out/ }).click();
    await change(page, "default/api", "spare-1");
    await dialog(page).getByLabel("Password").waitFor(UNTIL);
    await page.context().close();
    await cluster.kubectl("patch", "backends.maglev.vpp.io", "spare-1", "--type=json", "-p", REMOVE_STATE);
    await cluster.well(3);
  });
});

const REMOVE_STATE = JSON.stringify([{ op: "remove", path: "/spec/adminState" }]);

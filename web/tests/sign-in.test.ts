// The page of a server that requires signing in to read.
import type { Page } from "playwright-core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { recordRequests, settled, UNTIL, useBrowser, visit } from "./browser.js";
import { startMockServer, type MockServer } from "./mock-server.js";

let server: MockServer;
beforeEach(async () => {
  server = await startMockServer("healthy");
  server.http.session = "none";
});
afterEach(() => server.close());
useBrowser();

const form = (page: Page) => page.getByRole("heading", { name: "Sign in to see the load balancer" });
const row = (page: Page) => page.locator(`[data-name="shop/web"] .table-row`);

async function signIn(page: Page, token: string): Promise<void> {
  await page.getByLabel("Kubernetes token").fill(token);
  await page.getByRole("button", { name: "sign in" }).click();
}

describe("a page that requires signing in to read", () => {
  it("shows only the form, and requests nothing else, until a user who may read signs in", async () => {
    const { page, errors } = await visit("about:blank");
    const requests = recordRequests(page);
    await page.goto(server.url);
    await form(page).waitFor(UNTIL);
    expect(await page.locator("header, .rows, .banner").count()).toBe(0);
    await signIn(page, "stranger-token");
    await page.getByRole("alert").getByText("bob may not list frontends").waitFor(UNTIL);
    expect(await page.getByLabel("Kubernetes token").inputValue()).toBe("");
    expect(requests).toEqual(["session", "sign-in"]);

    await signIn(page, "viewer-token");
    await row(page).waitFor(UNTIL);
    await settled(page);
    expect(await form(page).count()).toBe(0);
    expect(errors).toEqual([]);
  });

  it("shows the form again after a sign-out, and after the session has ended", async () => {
    server.http.session = "signed-in";
    const { page, errors } = await visit(server.url);
    await row(page).waitFor(UNTIL);
    await page.getByRole("button", { name: "sign out ada" }).click();
    await form(page).waitFor(UNTIL);
    expect(await page.getByText("Your session has ended.").count()).toBe(0);

    await signIn(page, "viewer-token");
    await row(page).waitFor(UNTIL);
    await settled(page);
    server.http.endSession();
    await page.getByText("Your session has ended.").waitFor(UNTIL);
    expect(await page.locator(".rows").count()).toBe(0);
    await signIn(page, "viewer-token");
    await row(page).waitFor(UNTIL);
    expect(errors).toEqual([]);
  });
});

// Requests of operator changes, and the handling of responses.
import { describe, expect, it } from "vitest";
import { Admin, AdminError } from "./admin";
import type { SignedIn } from "./contract";

const ada: SignedIn = { who: "ada", csrf: "secret", ends: 0 };
const pause = { field: "admin_state", backend: "shop/web-1", state: "Paused" } as const;

function server(status: number, body: string) {
  const sent: { path: string; init: RequestInit }[] = [];
  const admin = new Admin((path, init) => {
    sent.push({ path, init });
    return Promise.resolve(new Response(body, { status }));
  });
  return { admin, sent };
}

describe("an operator change", () => {
  it("is sent as JSON with the CSRF header, relative to the page", async () => {
    const { admin, sent } = server(200, '{"old":"Enabled","new":"Paused"}');
    const changed = await admin.change(ada, pause, "disk", true);
    expect(changed.new).toBe("Paused");
    expect(sent[0]?.path).toBe("api/admin/change");
    expect(sent[0]?.init).toMatchObject({ method: "POST", credentials: "same-origin", redirect: "error" });
    expect(sent[0]?.init.headers).toEqual({ "content-type": "application/json", "x-maglev-csrf": "secret" });
    expect(JSON.parse(sent[0]?.init.body as string)).toEqual({ change: pause, reason: "disk", force: true });
  });

  it("fails with the reason that the server gives", async () => {
    const { admin } = server(409, '{"reason":"OwnedByOther","message":"it belongs to kubectl"}');
    const no = await admin.change(ada, pause, "", false).catch((error: unknown) => error);
    expect(no).toBeInstanceOf(AdminError);
    expect(no).toMatchObject({ status: 409, reason: "OwnedByOther", message: "it belongs to kubectl" });
  });

  it("fails with the status if something in front of the server responds", async () => {
    const { admin } = server(504, "<html>Gateway Time-out</html>");
    const no = await admin.change(ada, pause, "", false).catch((error: unknown) => error);
    expect(no).toMatchObject({ status: 504, reason: "Refused", message: "the server answered 504" });
  });
});

describe("signing in", () => {
  it("sends credentials in the body only", async () => {
    const { admin, sent } = server(200, '{"who":"ada","csrf":"x","ends":1}');
    expect((await admin.signIn({ token: "a token" })).who).toBe("ada");
    expect(sent[0]?.path).toBe("api/sign-in");
    expect(JSON.parse(sent[0]?.init.body as string)).toEqual({ token: "a token" });
    expect(JSON.stringify(sent[0]?.init.headers)).not.toContain("a token");
  });
});

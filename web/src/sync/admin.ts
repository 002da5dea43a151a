// The client of sign-in and of operator changes: JSON only, with the CSRF header. The session cookie is left to the
// browser; passwords and tokens are not stored.

import type {
  SignedIn,
  Change,
  ChangeBody,
  ChangeReport,
  SignInBody,
  Preview,
  SessionStatus,
} from "./contract";

/** An error response. */
export class AdminError extends Error {
  constructor(
    readonly status: number,
    readonly reason: string,
    message: string,
  ) {
    super(message);
  }
}

/** The type of `fetch`. */
export type Fetch = (path: string, init: RequestInit) => Promise<Response>;

/** The client of sign-in and of operator changes. */
export class Admin {
  constructor(private readonly fetch: Fetch) {}

  /** Returns the present session. */
  session(): Promise<SessionStatus> {
    return this.#request("session", {}) as Promise<SessionStatus>;
  }

  /** Signs in. */
  signIn(credentials: SignInBody): Promise<SignedIn> {
    return this.#post("sign-in", credentials, "") as Promise<SignedIn>;
  }

  /** Signs out. */
  async signOut({ csrf }: SignedIn): Promise<void> {
    await this.#post("sign-out", {}, csrf);
  }

  /** Returns the expected effect of a change. */
  preview({ csrf }: SignedIn, change: Change): Promise<Preview> {
    return this.#post("admin/preview", change, csrf) as Promise<Preview>;
  }

  /** Makes a change. */
  change({ csrf }: SignedIn, change: Change, reason: string, force: boolean): Promise<ChangeReport> {
    const body: ChangeBody = { change, reason, force };
    return this.#post("admin/change", body, csrf) as Promise<ChangeReport>;
  }

  #post(path: string, body: unknown, csrf: string): Promise<unknown> {
    const headers = { "content-type": "application/json", "x-maglev-csrf": csrf };
    return this.#request(path, { method: "POST", headers, body: JSON.stringify(body) });
  }

  async #request(path: string, init: RequestInit): Promise<unknown> {
    const response = await this.fetch(`api/${path}`, {
      cache: "no-store",
      credentials: "same-origin",
      redirect: "error",
      ...init,
    });
    const text = await response.text();
    if (response.ok) return JSON.parse(text) as unknown;
    throw errorFrom(response.status, text);
  }
}

// A proxy in front of the server can respond with an error of its own format.
function errorFrom(status: number, text: string): AdminError {
  try {
    const { reason, message } = JSON.parse(text) as { reason?: unknown; message?: unknown };
    if (typeof reason === "string" && typeof message === "string")
      return new AdminError(status, reason, message);
  } catch {
    // Not a response of the dashboard.
  }
  return new AdminError(status, "Refused", `the server answered ${status}`);
}

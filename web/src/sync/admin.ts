// Changes by hand, as the server takes them: under ../admin/, JSON only, with the CSRF header. The cookie is the
// browser's business; no password and no token is kept here.

/** How people are known to the server. */
export type AdminMode = "basic" | "token";

/** Somebody who is signed in. */
export interface AdminSession {
  readonly who: string;
  readonly csrf: string;
  /** When it is over at the latest, in seconds of Unix time. */
  readonly ends: number;
}

/** What the server says of the person at the page. */
export interface Session {
  readonly mode: AdminMode;
  readonly signed_in?: AdminSession;
}

/** What a person types in. */
export type Credentials = { readonly user: string; readonly password: string } | { readonly token: string };

/** A wanted state of a Backend. */
export type AdminState = "Enabled" | "Paused" | "Disabled";

/** A change. */
export type Change =
  | { readonly field: "admin_state"; readonly backend: string; readonly state: AdminState }
  | {
      readonly field: "weight";
      readonly frontend: string;
      readonly pool: string;
      readonly backend: string;
      readonly weight: number;
    };

/** What a change would touch. */
export interface Preview {
  readonly change: string;
  /** The Frontends whose weights may move. */
  readonly touches: readonly string[];
  /** Those of them that would be left without any effective weight on some node. */
  readonly leaves_unserved: readonly string[];
  /** How many nodes were asked. */
  readonly nodes: number;
}

/** What was changed, and who has it. */
export interface ChangeResult {
  readonly change: string;
  readonly old: string;
  readonly new: string;
  readonly written: boolean;
  readonly by: string;
  readonly taken_from: readonly string[];
  readonly event_failed?: string;
  readonly in_effect_on: number;
  readonly nodes: number;
  readonly seconds: number;
  readonly pending: Readonly<Record<string, string>>;
}

/** The server's no. */
export class AdminError extends Error {
  constructor(
    readonly status: number,
    readonly reason: string,
    message: string,
  ) {
    super(message);
  }
}

/** Sends something; a browser's `fetch`. */
export type Fetch = (path: string, init: RequestInit) => Promise<Response>;

/** The server's side. */
export class Admin {
  constructor(private readonly fetch: Fetch) {}

  /** Who is signed in. */
  session(): Promise<Session> {
    return this.#request("session", {}) as Promise<Session>;
  }

  /** Signs in. */
  signIn(credentials: Credentials): Promise<AdminSession> {
    return this.#post("sign-in", credentials, "") as Promise<AdminSession>;
  }

  /** Signs out. */
  async signOut({ csrf }: AdminSession): Promise<void> {
    await this.#post("sign-out", {}, csrf);
  }

  /** What a change would touch. */
  preview({ csrf }: AdminSession, change: Change): Promise<Preview> {
    return this.#post("preview", change, csrf) as Promise<Preview>;
  }

  /** Makes it. */
  change({ csrf }: AdminSession, change: Change, reason: string, force: boolean): Promise<ChangeResult> {
    return this.#post("change", { change, reason, force }, csrf) as Promise<ChangeResult>;
  }

  #post(path: string, body: unknown, csrf: string): Promise<unknown> {
    const headers = { "content-type": "application/json", "x-maglev-csrf": csrf };
    return this.#request(path, { method: "POST", headers, body: JSON.stringify(body) });
  }

  async #request(path: string, init: RequestInit): Promise<unknown> {
    const response = await this.fetch(`../admin/${path}`, {
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

// What stands before the server may say no as well, in its own words.
function errorFrom(status: number, text: string): AdminError {
  try {
    const { reason, message } = JSON.parse(text) as { reason?: unknown; message?: unknown };
    if (typeof reason === "string" && typeof message === "string")
      return new AdminError(status, reason, message);
  } catch {
    // Not ours.
  }
  return new AdminError(status, "Refused", `the server answered ${status}`);
}

// Changes by hand, as the server takes them: under ../admin/, JSON only, with the CSRF header. The cookie is the
// browser's business; no password and no token is kept here.

/** How people are known to the server. */
export type Mode = "basic" | "token";

/** Somebody who is signed in. */
export interface SignedIn {
  readonly who: string;
  readonly csrf: string;
  /** When it is over at the latest, in seconds of Unix time. */
  readonly ends: number;
}

/** What the server says of the person at the page. */
export interface Session {
  readonly mode: Mode;
  readonly signed_in?: SignedIn;
}

/** What a person types in. */
export type Typed = { readonly user: string; readonly password: string } | { readonly token: string };

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
export interface Changed {
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
export class NotDone extends Error {
  constructor(
    readonly status: number,
    readonly reason: string,
    message: string,
  ) {
    super(message);
  }
}

/** Sends something; a browser's `fetch`. */
export type Send = (path: string, init: RequestInit) => Promise<Response>;

/** The server's side. */
export class Admin {
  constructor(private readonly send: Send) {}

  /** Who is signed in. */
  session(): Promise<Session> {
    return this.#ask("session", {}) as Promise<Session>;
  }

  /** Signs in. */
  signIn(typed: Typed): Promise<SignedIn> {
    return this.#post("sign-in", typed, "") as Promise<SignedIn>;
  }

  /** Signs out. */
  async signOut({ csrf }: SignedIn): Promise<void> {
    await this.#post("sign-out", {}, csrf);
  }

  /** What a change would touch. */
  preview({ csrf }: SignedIn, change: Change): Promise<Preview> {
    return this.#post("preview", change, csrf) as Promise<Preview>;
  }

  /** Makes it. */
  change({ csrf }: SignedIn, change: Change, reason: string, force: boolean): Promise<Changed> {
    return this.#post("change", { change, reason, force }, csrf) as Promise<Changed>;
  }

  #post(path: string, body: unknown, csrf: string): Promise<unknown> {
    const headers = { "content-type": "application/json", "x-maglev-csrf": csrf };
    return this.#ask(path, { method: "POST", headers, body: JSON.stringify(body) });
  }

  async #ask(path: string, init: RequestInit): Promise<unknown> {
    const answer = await this.send(`../admin/${path}`, {
      cache: "no-store",
      credentials: "same-origin",
      redirect: "error",
      ...init,
    });
    const text = await answer.text();
    if (answer.ok) return JSON.parse(text) as unknown;
    throw refusal(answer.status, text);
  }
}

// What stands before the server may say no as well, in its own words.
function refusal(status: number, text: string): NotDone {
  try {
    const { reason, message } = JSON.parse(text) as { reason?: unknown; message?: unknown };
    if (typeof reason === "string" && typeof message === "string")
      return new NotDone(status, reason, message);
  } catch {
    // Not ours.
  }
  return new NotDone(status, "Refused", `the server answered ${status}`);
}

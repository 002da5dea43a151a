// Sign-in and the operator change in progress. Nothing is stored: the browser keeps the cookie, and a reload asks the
// server.
import { createEffect, createSignal } from "solid-js";
import { Admin, AdminError } from "../sync/admin";
import type { AdminMode, SignedIn, SignInBody } from "../sync/contract";
import { version } from "./server-state";

/** The Backend that a change is about. */
export interface ChangeTarget {
  /** The Backend, `namespace/name`. */
  readonly backend: string;
  /** Its membership in a pool, if it was chosen in one: then its weight can be changed, too. */
  readonly member?: { readonly frontend: string; readonly pool: string; readonly weight: number | undefined };
}

export const admin = new Admin((path, init) => fetch(path, init));

const [mode, setMode] = createSignal<AdminMode>();
const [adminSession, setAdminSession] = createSignal<SignedIn>();
const [changeTarget, openAdmin] = createSignal<ChangeTarget | "sign-in">();

export {
  /** The mode of sign-in; `undefined` if operator changes are off. */
  mode,
  /** The session of the signed-in user. */
  adminSession,
  /** The target of the dialog; `undefined` while it is closed. */
  changeTarget,
  /** Opens the dialog. */
  openAdmin,
};

/** Closes the dialog. */
export function closeAdmin(): void {
  openAdmin(undefined);
}

/** Loads the session once the server is known to allow operator changes. */
export function loadSession(): void {
  createEffect(() => {
    if (version()?.admin) void refresh();
  });
}

async function refresh(): Promise<void> {
  try {
    const session = await admin.session();
    setMode(session.mode);
    setAdminSession(session.signed_in);
  } catch {
    // Changes are not offered until the next load of the page.
  }
}

/** Signs in. Rejects with the server's message. */
export async function signIn(typed: SignInBody): Promise<void> {
  setAdminSession(await admin.signIn(typed));
}

/** Signs out. The server's response is ignored: without the CSRF token the page can change nothing. */
export async function signOut(): Promise<void> {
  const endedSession = adminSession();
  setAdminSession(undefined);
  if (endedSession) await admin.signOut(endedSession).catch(() => undefined);
}

/** The message of an error. An expired session returns to the sign-in form. */
export function errorMessage(error: unknown): string {
  if (error instanceof AdminError && error.reason === "NotSignedIn") setAdminSession(undefined);
  return error instanceof Error ? error.message : String(error);
}

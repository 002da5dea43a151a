// Who is signed in at this page, and which change is being made. Nothing of it is remembered: the browser keeps the
// cookie, and a reload asks the server.
import { createEffect, createSignal } from "solid-js";
import { Admin, AdminError, type AdminMode, type AdminSession, type Credentials } from "../sync/admin";
import { version } from "./server-state";

/** What a change is about. */
export interface ChangeTarget {
  /** The Backend, `namespace/name`. */
  readonly backend: string;
  /** Its place in a pool, where it was chosen there: then its weight can be set, too. */
  readonly member?: { readonly frontend: string; readonly pool: string; readonly weight: number | undefined };
}

/** The server's side. */
export const admin = new Admin((path, init) => fetch(path, init));

const [mode, setMode] = createSignal<AdminMode>();
const [adminSession, setAdminSession] = createSignal<AdminSession>();
const [changeTarget, openAdmin] = createSignal<ChangeTarget | "sign-in">();

export {
  /** How people are known; `undefined` where nothing can be changed. */
  mode,
  /** Who is. */
  adminSession,
  /** What the dialog is about; `undefined` while it is closed. */
  changeTarget,
  /** Opens the dialog. */
  openAdmin,
};

/** Closes the dialog. */
export function closeAdmin(): void {
  openAdmin(undefined);
}

/** Asks who is signed in, once it is known that somebody can be. */
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
    // Then nothing is offered; the next load of the page asks again.
  }
}

/** Signs in; rejects with the server's words. */
export async function signIn(typed: Credentials): Promise<void> {
  setAdminSession(await admin.signIn(typed));
}

/** Signs out. What the server says of it does not matter: without the cookie's other half the page can do nothing. */
export async function signOut(): Promise<void> {
  const endedSession = adminSession();
  setAdminSession(undefined);
  if (endedSession) await admin.signOut(endedSession).catch(() => undefined);
}

/** Why something was not done; who is signed in no more is asked to sign in. */
export function errorMessage(error: unknown): string {
  if (error instanceof AdminError && error.reason === "NotSignedIn") setAdminSession(undefined);
  return error instanceof Error ? error.message : String(error);
}

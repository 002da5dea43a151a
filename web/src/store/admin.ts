// Sign-in and the operator change in progress. Nothing is stored: the browser keeps the cookie, and a reload asks the
// server.
import { createSignal } from "solid-js";
import { Admin, AdminError } from "../sync/admin";
import type { SessionStatus, SignedIn, SignInBody } from "../sync/contract";
import { readAccess, type ReadAccess } from "../lib/read-access";

/** The Backend that a change is about. */
export interface ChangeTarget {
  /** The Backend, `namespace/name`. */
  readonly backend: string;
  /** Its membership in a pool, if it was chosen in one: then its weight can be changed, too. */
  readonly member?: { readonly frontend: string; readonly pool: string; readonly weight: number | undefined };
}

export const admin = new Admin((path, init) => fetch(path, init));

const [status, setStatus] = createSignal<SessionStatus>();
const [access, setAccess] = createSignal<ReadAccess>("unknown");
const [sessionEnded, setSessionEnded] = createSignal(false);
const [adminSession, setAdminSession] = createSignal<SignedIn>();
const [changeTarget, openAdmin] = createSignal<ChangeTarget | "sign-in">();

export {
  /** The right to read. */
  access,
  /** True if the session of this page ended without a sign-out. */
  sessionEnded,
  /** The session of the signed-in user. */
  adminSession,
  /** The target of the dialog; `undefined` while it is closed. */
  changeTarget,
  /** Opens the dialog. */
  openAdmin,
};

/** The mode of sign-in; `undefined` if nobody can sign in. */
export const mode = () => status()?.mode;

/** True if operator changes are enabled. */
export const changesEnabled = () => status()?.to_change ?? false;

/** Closes the dialog. */
export function closeAdmin(): void {
  openAdmin(undefined);
}

/** Loads the session. */
export async function loadSession(): Promise<void> {
  const next = await admin.session().catch(() => undefined);
  if (next) {
    setStatus(next);
    setAdminSession(next.signed_in);
  }
  setAccess(readAccess(next, access()));
}

/** Called when the server may have refused a document or the stream: the session may have ended. */
export async function checkSession(): Promise<void> {
  if (access() !== "open" || status()?.to_read === false) return;
  await loadSession();
  setSessionEnded(access() === "closed");
}

/** Signs in. Rejects with the server's message. */
export async function signIn(typed: SignInBody): Promise<void> {
  setAdminSession(await admin.signIn(typed));
  setSessionEnded(false);
  setAccess("open");
}

/** Signs out. The server's response is ignored: without the CSRF token the page can change nothing. */
export async function signOut(): Promise<void> {
  const endedSession = adminSession();
  setAdminSession(undefined);
  if (endedSession) await admin.signOut(endedSession).catch(() => undefined);
  closeAdmin();
  if (status()?.to_read) setAccess("closed");
}

/** The message of an error. An expired session returns to the sign-in form. */
export function errorMessage(error: unknown): string {
  if (error instanceof AdminError && error.reason === "NotSignedIn") setAdminSession(undefined);
  return error instanceof Error ? error.message : String(error);
}

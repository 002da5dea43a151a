// The right to read, from the state of sign-in.
import type { SessionStatus } from "../sync/contract";

/** `unknown` until the server has answered; `closed` until a user has signed in. */
export type ReadAccess = "unknown" | "open" | "closed";

/**
 * The right to read. Without an answer it stays as it was; at first, documents are requested, and a refusal of them leads
 * to the next request for the session.
 */
export function readAccess(status: SessionStatus | undefined, before: ReadAccess): ReadAccess {
  if (status === undefined) return before === "unknown" ? "open" : before;
  return status.to_read && status.signed_in === undefined ? "closed" : "open";
}

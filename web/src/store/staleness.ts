// Staleness of the page.
import { now } from "./clock";
import { connection, lastContactAt, disconnectedAt, summary } from "./server-state";

// A tick comes every 15 s. A short disconnection is not shown.
const SILENCE_MS = 20_000;
const DISCONNECTED_MS = 2000;

/** True if the page must be marked as not live. */
export function isStale(): boolean {
  if (!summary().value) return false;
  if (connection() === "lost") return now() - disconnectedAt() >= DISCONNECTED_MS;
  return now() - lastContactAt() >= SILENCE_MS;
}

// Whether what the page shows may be old.
import { now } from "./clock";
import { connection, lastContactAt, disconnectedAt, summary } from "./server-state";

// A tick comes every 15 s; a break that heals at once is not worth a word.
const SILENCE_MS = 20_000;
const DISCONNECTED_MS = 2000;

/** Whether to say that the page is not live. */
export function isStale(): boolean {
  if (!summary().value) return false;
  if (connection() === "lost") return now() - disconnectedAt() >= DISCONNECTED_MS;
  return now() - lastContactAt() >= SILENCE_MS;
}

// Display states. Each has one shape and one colour everywhere on the page.
import type { Row } from "../sync/contract";

/** A state as the page shows it. */
export type DisplayState =
  | "up"
  | "down"
  | "unknown"
  | "paused"
  | "disabled"
  /** Served by another pool than the first. */
  | "standby"
  /** Nodes differ. */
  | "mixed"
  /** Not reporting; the last known state is shown. */
  | "stale"
  /** Not ready yet. */
  | "waiting"
  /** Packets are being dropped. */
  | "dropping"
  /** An object is rejected, held, or failed. */
  | "rejected";

/** The display state of a row. */
export function rowDisplayState(state: Row["state"]): DisplayState {
  return state === "withdrawn" ? "rejected" : state;
}

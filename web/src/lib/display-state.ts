// The words for what state something is in. Each has one shape and one colour, everywhere.
import type { Row } from "../sync/contract";

/** A state as the page shows it. */
export type DisplayState =
  | "up"
  | "down"
  | "unknown"
  | "paused"
  | "disabled"
  /** Served, but by another pool than the first. */
  | "standby"
  /** Nodes differ. */
  | "mixed"
  /** Not heard of; what is shown is the last that was. */
  | "stale"
  /** Not there yet. */
  | "waiting"
  /** Packets are being dropped. */
  | "dropping"
  /** An object is refused, held, or failed. */
  | "rejected";

/** The shape of a row's state. */
export function rowDisplayState(state: Row["state"]): DisplayState {
  return state === "withdrawn" ? "rejected" : state;
}

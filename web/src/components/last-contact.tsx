// The time since the last message of the server.
import type { JSX } from "solid-js";
import { formatAge } from "../lib/format";
import { now } from "../store/clock";
import { lastContactAt } from "../store/server-state";

/** "2 s ago". */
export function LastContact(): JSX.Element {
  return <span class="last-contact">{formatAge(lastContactAt(), now())} ago</span>;
}

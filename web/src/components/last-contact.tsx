// How old what is shown is: since the server was last heard.
import type { JSX } from "solid-js";
import { age } from "../lib/format";
import { now } from "../store/clock";
import { heardAt } from "../store/server-state";

/** "2 s ago". */
export function Heard(): JSX.Element {
  return <span class="heard">{age(heardAt(), now())} ago</span>;
}

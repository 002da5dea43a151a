// How old what is shown is: since the server was last heard.
import type { JSX } from "solid-js";
import { age } from "../fold/format";
import { now } from "../page/clock";
import { heardAt } from "../page/live";

/** "2 s ago". */
export function Heard(): JSX.Element {
  return <span class="heard">{age(heardAt(), now())} ago</span>;
}

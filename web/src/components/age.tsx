// Ages and times, with the exact time in the tooltip. All ages tick together.
import { Show, type JSX } from "solid-js";
import { formatAge, timeOfDay, fullTime } from "../lib/format";
import { now } from "../store/clock";
import { zone } from "../store/preferences";

/** The age of what started at `since`, or `–`. */
export function Age(props: { readonly since: string | undefined }): JSX.Element {
  return (
    <Show when={props.since} fallback={<span class="dim">–</span>}>
      {(since) => (
        <time datetime={since()} title={fullTime(Date.parse(since()), zone())}>
          {formatAge(Date.parse(since()), now())}
        </time>
      )}
    </Show>
  );
}

/** A time of day. */
export function Clock(props: { readonly at: string }): JSX.Element {
  return (
    <time datetime={props.at} title={fullTime(Date.parse(props.at), zone())}>
      {timeOfDay(Date.parse(props.at), zone())}
    </time>
  );
}

// Warnings about the page itself: it is not live, or a newer version is available.
import { Match, Show, Switch, type JSX } from "solid-js";
import { formatAge, timeOfDay } from "../lib/format";
import { isStale } from "../store/staleness";
import { connection, lastContactAt, serverVersion, summary, version } from "../store/server-state";
import { now } from "../store/clock";
import { zone } from "../store/preferences";

/** The banner; empty if there is no warning. */
export function Banner(): JSX.Element {
  const kubernetes = () => summary().value?.kubernetes;
  const newerVersion = () =>
    serverVersion() !== "" && version() !== undefined && serverVersion() !== version()?.version;
  return (
    <Switch>
      <Match when={isStale()}>
        <p class="banner critical">
          <strong>Not live.</strong> {connection() === "lost" ? "Disconnected" : "No message received"} for{" "}
          {formatAge(lastContactAt(), now())}. The page shows the state at{" "}
          {timeOfDay(lastContactAt(), zone())}, which may have changed. Reconnecting…
        </p>
      </Match>
      <Match when={summary().value && summary().status !== "live"}>
        <p class="banner">Loading the present state… {summary().error}</p>
      </Match>
      <Match when={newerVersion()}>
        <p class="banner">
          A newer version of this page is available ({serverVersion()}).{" "}
          <button type="button" class="small" onClick={() => location.reload()}>
            reload
          </button>
        </p>
      </Match>
      <Match when={kubernetes() === "unavailable"}>
        <p class="banner warning">
          <strong>The API server is unreachable.</strong> Nodes are live; conditions and generations may be
          outdated.
        </p>
      </Match>
    </Switch>
  );
}

/** Announces changes to screen readers. */
export function Announcer(props: { readonly text: string }): JSX.Element {
  return (
    <div class="visually-hidden" role="status" aria-live="polite">
      <Show when={props.text}>{props.text}</Show>
    </div>
  );
}

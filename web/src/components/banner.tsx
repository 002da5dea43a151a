// What a person must know before trusting the page: that it is not live, or that a newer page is served.
import { Match, Show, Switch, type JSX } from "solid-js";
import { formatAge, timeOfDay } from "../lib/format";
import { isStale } from "../store/staleness";
import { connection, lastContactAt, serverVersion, summary, version } from "../store/server-state";
import { now } from "../store/clock";
import { zone } from "../store/preferences";

/** The banner; nothing when all is well. */
export function Banner(): JSX.Element {
  const kubernetes = () => summary().value?.kubernetes;
  const newerVersion = () =>
    serverVersion() !== "" && version() !== undefined && serverVersion() !== version()?.version;
  return (
    <Switch>
      <Match when={isStale()}>
        <p class="banner critical">
          <strong>Not live.</strong>{" "}
          {connection() === "lost" ? "The connection is lost" : "Nothing was heard"} for{" "}
          {formatAge(lastContactAt(), now())}. This is the state of {timeOfDay(lastContactAt(), zone())}; it
          may have changed. Connecting again…
        </p>
      </Match>
      <Match when={summary().value && summary().status !== "live"}>
        <p class="banner">Fetching the state again… {summary().error}</p>
      </Match>
      <Match when={newerVersion()}>
        <p class="banner">
          A newer version of this page is served ({serverVersion()}).{" "}
          <button type="button" class="small" onClick={() => location.reload()}>
            reload
          </button>
        </p>
      </Match>
      <Match when={kubernetes() === "unavailable"}>
        <p class="banner warning">
          <strong>The API server is away.</strong> Nodes are live; conditions and generations are the last
          known.
        </p>
      </Match>
    </Switch>
  );
}

/** Speaks what became wrong. */
export function Announcer(props: { readonly text: string }): JSX.Element {
  return (
    <div class="visually-hidden" role="status" aria-live="polite">
      <Show when={props.text}>{props.text}</Show>
    </div>
  );
}

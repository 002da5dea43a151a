// The page: head, banner, and the tab.
import { createEffect, createMemo, createSignal, on, onCleanup, onMount, Show, type JSX } from "solid-js";
import { announcement, icon, title } from "../lib/problem-counts";
import { learnSession } from "../store/admin";
import { move } from "../store/cursor";
import { listen } from "../store/keyboard";
import { learnMembers } from "../store/backend-index";
import { startLive, summary } from "../store/server-state";
import { openTab, place } from "../store/location";
import { theme } from "../store/preferences";
import { startSamples } from "../store/rate-samples";
import { isStale } from "../store/staleness";
import { follow } from "../store/subscription";
import { AdminDialog } from "./admin-dialog";
import { AllNodes } from "./all-nodes";
import { Aloud, Banner } from "./banner";
import { FILTER_ID } from "./filter-box";
import { Header, tabs, togglePause } from "./header";
import { Help, openHelp } from "./help";
import { NodeTab } from "./node-tab";

/** The page. */
export function App(): JSX.Element {
  const [spoken, setSpoken] = createSignal("");
  onMount(() => {
    const ends = [
      startLive(),
      startSamples(),
      listen({ filter, move, tab, pause: togglePause, help: openHelp }),
    ];
    onCleanup(() => ends.forEach((end) => end()));
  });
  follow();
  learnMembers();
  learnSession();
  createEffect(() => {
    if (theme() === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme();
  });
  createEffect(() => {
    document.title = title(summary().value, !isStale());
  });
  const symbol = createMemo(() => icon(summary().value, !isStale()));
  createEffect(() => document.querySelector("link[rel=icon]")?.setAttribute("href", `./${symbol()}`));
  createEffect(
    on(
      () => summary().value?.strip,
      (strip, before) => {
        if (strip && before !== strip) setSpoken((last) => announcement(before, strip) || last);
      },
    ),
  );
  // What no count says: that none of them is to be trusted, and that they are again.
  createEffect(
    on(isStale, (stale, before) => {
      if (before !== undefined && stale !== before)
        setSpoken(stale ? "This page is not live" : "This page is live again");
    }),
  );
  return (
    <div class="page" classList={{ "page-stale": isStale(), "page-node": place().node !== null }}>
      <Header />
      <Banner />
      <main>
        <Show when={place().node} keyed fallback={<AllNodes />}>
          {(node) => <NodeTab name={node} />}
        </Show>
      </main>
      <Aloud text={spoken()} />
      <Help />
      <AdminDialog />
    </div>
  );
}

function filter(): void {
  const box = document.getElementById(FILTER_ID);
  box?.focus();
}

function tab(index: number): void {
  const node = index === 0 ? null : tabs()[index - 1];
  if (node !== undefined) openTab(node);
}

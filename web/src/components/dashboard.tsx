// The dashboard: header, banner, and the open tab.
import { createEffect, createMemo, createSignal, on, onCleanup, onMount, Show, type JSX } from "solid-js";
import { announcement, pageIcon, pageTitle } from "../lib/problem-counts";
import { moveFocus } from "../store/cursor";
import { listenForKeys } from "../store/keyboard";
import { loadBackendIndex } from "../store/backend-index";
import { loading, startSync, summary } from "../store/server-state";
import { openTab, route } from "../store/location";
import { startSamples } from "../store/rate-samples";
import { isStale } from "../store/staleness";
import { startSubscription } from "../store/subscription";
import { AdminDialog } from "./admin-dialog";
import { AllNodes } from "./all-nodes";
import { Announcer, Banner } from "./banner";
import { FILTER_ID } from "./filter-box";
import { Header, tabs, togglePause } from "./header";
import { Help, openHelp } from "./help";
import { NodeTab } from "./node-tab";

export function Dashboard(): JSX.Element {
  const [announced, setAnnounced] = createSignal("");
  onMount(() => {
    const cleanups = [
      startSync(),
      startSamples(),
      listenForKeys({
        filter: focusFilter,
        move: moveFocus,
        tab: openTabAt,
        pause: togglePause,
        help: openHelp,
      }),
    ];
    onCleanup(() => cleanups.forEach((end) => end()));
  });
  startSubscription();
  loadBackendIndex();
  createEffect(() => {
    document.title = pageTitle(summary().value, !isStale());
  });
  const iconPath = createMemo(() => pageIcon(summary().value, !isStale()));
  createEffect(() => document.querySelector("link[rel=icon]")?.setAttribute("href", `./${iconPath()}`));
  createEffect(
    on(
      () => summary().value?.strip,
      (strip, before) => {
        if (strip && before !== strip)
          setAnnounced((last) => announcement(before, strip, summary().value?.healthy) || last);
      },
    ),
  );
  // No count shows that all of them are stale.
  createEffect(
    on(isStale, (stale, before) => {
      if (before !== undefined && stale !== before)
        setAnnounced(stale ? "This page is not live" : "This page is live again");
    }),
  );
  return (
    <div class="page" classList={{ "page-stale": isStale(), "page-node": route().node !== null }}>
      <Header />
      <Banner />
      <main aria-busy={loading() ? "true" : "false"}>
        <Show when={route().node} keyed fallback={<AllNodes />}>
          {(node) => <NodeTab name={node} />}
        </Show>
      </main>
      <Announcer text={announced()} />
      <Help />
      <AdminDialog />
    </div>
  );
}

function focusFilter(): void {
  const box = document.getElementById(FILTER_ID);
  box?.focus();
}

function openTabAt(index: number): void {
  const node = index === 0 ? null : tabs()[index - 1];
  if (node !== undefined) openTab(node);
}

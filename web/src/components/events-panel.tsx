// The panel of the agents' events. It follows the newest line, and stops and counts new lines when the reader scrolls
// up.
import { createEffect, createMemo, createSignal, For, on, Show, type JSX } from "solid-js";
import { searchTerms } from "../lib/filter";
import { filterLines, lineKind, type LogLine } from "../lib/log-buffer";
import { log } from "../store/server-state";
import { motion } from "../store/preferences";
import { logScope, showProbes, setLogScope, setShowProbes } from "../store/subscription";
import { Clock } from "./age";

// More lines than these are not scrolled through; `kubectl logs` has all of them.
const MAX_SHOWN = 400;
const NEAR_END_PX = 24;

export function EventsPanel(props: { readonly node: string }): JSX.Element {
  let box!: HTMLOListElement;
  const [text, setText] = createSignal("");
  const [followingEnd, setFollowing] = createSignal(true);
  const [paused, setPaused] = createSignal(false);
  const moving = () => followingEnd() && !paused() && motion() === "running";

  const all = createMemo(() =>
    filterLines(log(), logScope() === "node" ? props.node : null, searchTerms(text())),
  );
  const filterKey = () => `${logScope()} ${text()}`;
  // While the panel does not follow, the shown lines stay and new lines are only counted.
  const shown = createMemo<{ filterKey: string; lines: readonly LogLine[] }>(
    (before) =>
      moving() || before.filterKey !== filterKey()
        ? { filterKey: filterKey(), lines: all().slice(-MAX_SHOWN) }
        : before,
    { filterKey: "", lines: [] },
  );
  const newCount = createMemo(() => {
    const last = shown().lines.at(-1);
    const index = last ? all().lastIndexOf(last) : -1;
    return all().length - 1 - index;
  });

  const scrollToEnd = () => {
    box.scrollTop = box.scrollHeight;
  };
  createEffect(on(shown, () => moving() && scrollToEnd()));
  const scrolled = () => setFollowing(box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END_PX);
  const resume = () => {
    setPaused(false);
    setFollowing(true);
    queueMicrotask(scrollToEnd);
  };

  return (
    <section class="panel events" aria-label="Events">
      <header>
        <h2>Events</h2>
        <span class="choice" role="group" aria-label="Scope of events">
          <button
            type="button"
            class="small"
            aria-pressed={logScope() === "node"}
            onClick={() => setLogScope("node")}
          >
            this node
          </button>
          <button
            type="button"
            class="small"
            aria-pressed={logScope() === "all"}
            onClick={() => setLogScope("all")}
          >
            all
          </button>
        </span>
        <button
          type="button"
          class="small"
          aria-pressed={showProbes()}
          title="Include probes of the backends on screen"
          onClick={() => setShowProbes(!showProbes())}
        >
          probes
        </button>
        <button type="button" class="small" aria-pressed={paused()} onClick={() => setPaused(!paused())}>
          {paused() ? "paused" : "pause"}
        </button>
        <input
          type="search"
          aria-label="Filter events by text"
          placeholder="text"
          autocomplete="off"
          spellcheck={false}
          value={text()}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </header>
      <ol
        ref={box}
        class="events-lines mono"
        tabindex="0"
        aria-label="Events, newest last"
        onScroll={scrolled}
      >
        <For each={shown().lines} fallback={<li class="dim none">No events since this page was opened.</li>}>
          {(line) => <EventItem logLine={line} showNode={logScope() === "all"} />}
        </For>
      </ol>
      <Show when={!moving() && newCount() > 0}>
        <button type="button" class="events-new" onClick={resume}>
          {newCount()} new ↓
        </button>
      </Show>
    </section>
  );
}

function EventItem(props: { readonly logLine: LogLine; readonly showNode: boolean }): JSX.Element {
  const line = () => props.logLine.line;
  return (
    <li class={`event kind-${lineKind(line())} level-${line().level}`}>
      <span class="dim">
        <Clock at={line().time} />
      </span>{" "}
      <Show when={line().level !== "info"}>
        <span class="level">{line().level}</span>{" "}
      </Show>
      <Show when={props.showNode}>
        <span class="dim">{props.logLine.node}</span>{" "}
      </Show>
      <span class="event-name">{line().name}</span>
      <For each={line().attributes}>
        {([key, value]) => (
          <>
            {" "}
            <span class="attribute">
              <span class="dim">{key}=</span>
              {value.includes(" ") ? JSON.stringify(value) : value}
            </span>
          </>
        )}
      </For>
    </li>
  );
}

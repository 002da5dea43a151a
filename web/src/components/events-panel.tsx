// The events as the agents log them: a tail that follows, stops when one scrolls up and says how much is new.
import { createEffect, createMemo, createSignal, For, on, Show, type JSX } from "solid-js";
import { wordsOf } from "../lib/filter";
import { chosen, kindOf, type LogLine } from "../lib/log-buffer";
import { tail } from "../store/server-state";
import { motion } from "../store/preferences";
import { logOf, probes, setLogOf, setProbes } from "../store/subscription";
import { Clock } from "./age";

// More lines than these nobody scrolls through; the log has them all.
const MOST_SHOWN = 400;
const NEAR_END_PX = 24;

/** The panel on a node's tab. */
export function EventsPanel(props: { readonly node: string }): JSX.Element {
  let box!: HTMLOListElement;
  const [text, setText] = createSignal("");
  const [following, setFollowing] = createSignal(true);
  const [paused, setPaused] = createSignal(false);
  const moving = () => following() && !paused() && motion() === "running";

  const all = createMemo(() => chosen(tail(), logOf() === "node" ? props.node : null, wordsOf(text())));
  const asked = () => `${logOf()} ${text()}`;
  // While the tail does not follow, what is shown stays: lines that come are counted, not shown.
  const shown = createMemo<{ asked: string; lines: readonly LogLine[] }>(
    (before) =>
      moving() || before.asked !== asked() ? { asked: asked(), lines: all().slice(-MOST_SHOWN) } : before,
    { asked: "", lines: [] },
  );
  const unseen = createMemo(() => {
    const last = shown().lines.at(-1);
    const index = last ? all().lastIndexOf(last) : -1;
    return all().length - 1 - index;
  });

  const toEnd = () => {
    box.scrollTop = box.scrollHeight;
  };
  createEffect(on(shown, () => moving() && toEnd()));
  const scrolled = () => setFollowing(box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END_PX);
  const resume = () => {
    setPaused(false);
    setFollowing(true);
    queueMicrotask(toEnd);
  };

  return (
    <section class="panel events" aria-label="Events">
      <header>
        <h2>Events</h2>
        <span class="choice" role="group" aria-label="Whose events">
          <button
            type="button"
            class="small"
            aria-pressed={logOf() === "node"}
            onClick={() => setLogOf("node")}
          >
            this node
          </button>
          <button
            type="button"
            class="small"
            aria-pressed={logOf() === "all"}
            onClick={() => setLogOf("all")}
          >
            all
          </button>
        </span>
        <button
          type="button"
          class="small"
          aria-pressed={probes()}
          title="Also the probes of the backends on screen"
          onClick={() => setProbes(!probes())}
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
        <For
          each={shown().lines}
          fallback={<li class="dim none">Nothing happened since this page was opened.</li>}
        >
          {(line) => <EventLine of={line} named={logOf() === "all"} />}
        </For>
      </ol>
      <Show when={!moving() && unseen() > 0}>
        <button type="button" class="events-new" onClick={resume}>
          {unseen()} new ↓
        </button>
      </Show>
    </section>
  );
}

function EventLine(props: { readonly of: LogLine; readonly named: boolean }): JSX.Element {
  const line = () => props.of.line;
  return (
    <li class={`event kind-${kindOf(line())} level-${line().level}`}>
      <span class="dim">
        <Clock at={line().time} />
      </span>{" "}
      <Show when={line().level !== "info"}>
        <span class="level">{line().level}</span>{" "}
      </Show>
      <Show when={props.named}>
        <span class="dim">{props.of.node}</span>{" "}
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

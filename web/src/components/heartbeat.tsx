// The heartbeat of a backend: a dot when a probe is sent, a heart when its response has arrived. The element has a
// fixed size, and is hidden from screen readers, which have state and age.
import { createEffect, createSignal, onCleanup, onMount, Show, untrack, type JSX } from "solid-js";
import type { Heartbeat } from "../sync/contract";
import { subscribeHeartbeats } from "../store/heartbeats";
import { heartbeatsEnabled, observeHeartbeat } from "../store/visibility";

// A probe that is answered at once produces only the answer. The dot is then shown for this time.
const MIN_SENT_MS = 200;

/** The heartbeat of one backend of one frontend on a node. */
export function ProbeHeartbeat(props: {
  readonly node: string;
  readonly frontend: string;
  readonly backend: string;
}): JSX.Element {
  let box!: HTMLSpanElement;
  const [latestBeat, setBeat] = createSignal<Heartbeat>();
  onMount(() => onCleanup(observeHeartbeat(box, props.frontend)));
  createEffect(() => {
    if (!heartbeatsEnabled()) {
      setBeat(undefined);
      return;
    }
    let pendingAnswer: ReturnType<typeof setTimeout> | undefined;
    const onBeat = (next: Heartbeat) => {
      clearTimeout(pendingAnswer);
      const repeatedAnswer = next.phase === "done" && untrack(latestBeat)?.phase === "done";
      setBeat(repeatedAnswer ? { phase: "start" } : next);
      if (repeatedAnswer) pendingAnswer = setTimeout(() => setBeat(next), MIN_SENT_MS);
    };
    const end = subscribeHeartbeats(props.node, props.backend, onBeat);
    onCleanup(() => {
      clearTimeout(pendingAnswer);
      end();
    });
  });
  return (
    <span ref={box} class="heartbeat" aria-hidden="true" title={tooltip(latestBeat())}>
      <Show when={latestBeat()?.phase === "done"} fallback={latestBeat() ? "·" : ""}>
        <svg viewBox="0 0 12 12" classList={{ missed: latestBeat()?.ok === false }}>
          <path d="M6 11 1.4 6.4C-.3 4.6.4 1.5 3 1.4c1.3 0 2.4.7 3 1.9.6-1.2 1.7-1.9 3-1.9 2.6.1 3.3 3.2 1.6 5Z" />
        </svg>
      </Show>
    </span>
  );
}

function tooltip(beat: Heartbeat | undefined): string {
  if (beat?.phase !== "done") return "";
  return [beat.code, beat.ms === undefined ? undefined : `${beat.ms.toFixed(1)} ms`]
    .filter(Boolean)
    .join(" ");
}

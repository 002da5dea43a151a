// The heart of a backend: shows that probes are sent (·) and answered (a heart). Its box never changes its size, and
// it says nothing to a screen reader: state and age do.
import { createEffect, createSignal, onCleanup, onMount, Show, untrack, type JSX } from "solid-js";
import type { Beat } from "../sync/message";
import { hearBeats } from "../store/heartbeats";
import { hearts, watchHeart } from "../store/visibility";

// Of a probe that is answered at once only the answer is told: that it was sent is shown for so long.
const SENT_MS = 200;

/** The heart of one backend of one frontend on a node. */
export function ProbeHeartbeat(props: {
  readonly node: string;
  readonly frontend: string;
  readonly backend: string;
}): JSX.Element {
  let box!: HTMLSpanElement;
  const [beat, setBeat] = createSignal<Beat>();
  onMount(() => onCleanup(watchHeart(box, props.frontend)));
  createEffect(() => {
    if (!hearts()) {
      setBeat(undefined);
      return;
    }
    let answering: ReturnType<typeof setTimeout> | undefined;
    const heard = (next: Beat) => {
      clearTimeout(answering);
      const again = next.phase === "done" && untrack(beat)?.phase === "done";
      setBeat(again ? { phase: "start" } : next);
      if (again) answering = setTimeout(() => setBeat(next), SENT_MS);
    };
    const end = hearBeats(props.node, props.backend, heard);
    onCleanup(() => {
      clearTimeout(answering);
      end();
    });
  });
  return (
    <span ref={box} class="heart" aria-hidden="true" title={tooltip(beat())}>
      <Show when={beat()?.phase === "done"} fallback={beat() ? "·" : ""}>
        <svg viewBox="0 0 12 12" classList={{ missed: beat()?.ok === false }}>
          <path d="M6 11 1.4 6.4C-.3 4.6.4 1.5 3 1.4c1.3 0 2.4.7 3 1.9.6-1.2 1.7-1.9 3-1.9 2.6.1 3.3 3.2 1.6 5Z" />
        </svg>
      </Show>
    </span>
  );
}

function tooltip(beat: Beat | undefined): string {
  if (beat?.phase !== "done") return "";
  return [beat.code, beat.ms === undefined ? undefined : `${beat.ms.toFixed(1)} ms`]
    .filter(Boolean)
    .join(" ");
}

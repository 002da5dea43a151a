// Which hearts are on screen. Heartbeats are asked for these only, and for none while there are more than fifty:
// then they would be flicker, and a load for the agents.
import { createSignal } from "solid-js";
import { animationsEnabled } from "./preferences";

/** More rows than these have no heartbeats. */
export const MAX_HEARTBEATS = 50;
const UPDATE_DELAY_MS = 300;

const frontendByElement = new WeakMap<Element, string>();
const visible = new Set<Element>();
const [visibleFrontends, setVisibleFrontends] = createSignal<readonly string[]>([]);
const [tooManyHeartbeats, setTooManyHeartbeats] = createSignal(false);
const [hidden, setHidden] = createSignal(document.visibilityState === "hidden");
let pendingUpdate: ReturnType<typeof setTimeout> | undefined;

document.addEventListener("visibilitychange", () => setHidden(document.visibilityState === "hidden"));

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) visible.add(target);
    else visible.delete(target);
  }
  scheduleUpdate();
});

// Scrolling passes many rows: only where it comes to rest counts.
function scheduleUpdate(): void {
  clearTimeout(pendingUpdate);
  pendingUpdate = setTimeout(() => {
    const names = new Set([...visible].flatMap((element) => frontendByElement.get(element) ?? []));
    setTooManyHeartbeats(visible.size > MAX_HEARTBEATS);
    setVisibleFrontends((before) => {
      const now = [...names].sort();
      return before.join() === now.join() ? before : now;
    });
  }, UPDATE_DELAY_MS);
}

/** Watches a heart of one of `frontend`'s backends; the result ends it. */
export function observeHeartbeat(element: Element, frontend: string): () => void {
  frontendByElement.set(element, frontend);
  observer.observe(element);
  return () => {
    observer.unobserve(element);
    visible.delete(element);
    scheduleUpdate();
  };
}

/** Whether hearts beat: not when they are too many, paused, unwanted or unseen. */
export function heartbeatsEnabled(): boolean {
  return animationsEnabled() && !tooManyHeartbeats() && !hidden();
}

/** Whether hearts stand still because there are too many. */
export { tooManyHeartbeats };

/** The frontends whose backends' heartbeats are to be asked for. */
export function heartbeatFrontends(): readonly string[] {
  return heartbeatsEnabled() ? visibleFrontends() : [];
}

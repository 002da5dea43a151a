// Visibility of heartbeats. Only those on screen are subscribed to, and none while there are more than fifty: they
// would flicker and load the agents.
import { createSignal } from "solid-js";
import { animationsEnabled } from "./preferences";

/** Above this number of rows on screen no heartbeats are shown. */
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

// Waits until scrolling stops.
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

/** Observes a heartbeat of one of the frontend's backends. The result stops it. */
export function observeHeartbeat(element: Element, frontend: string): () => void {
  frontendByElement.set(element, frontend);
  observer.observe(element);
  return () => {
    observer.unobserve(element);
    visible.delete(element);
    scheduleUpdate();
  };
}

/** True if heartbeats are shown: motion is on, the page is visible, and there are not too many. */
export function heartbeatsEnabled(): boolean {
  return animationsEnabled() && !tooManyHeartbeats() && !hidden();
}

/** True if there are too many rows for heartbeats. */
export { tooManyHeartbeats };

/** Frontends whose backends' heartbeats are subscribed to. */
export function heartbeatFrontends(): readonly string[] {
  return heartbeatsEnabled() ? visibleFrontends() : [];
}

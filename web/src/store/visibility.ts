// Which hearts are on screen. Heartbeats are asked for these only, and for none while there are more than fifty:
// then they would be flicker, and a load for the agents.
import { createSignal } from "solid-js";
import { moves } from "./preferences";

/** More rows than these have no heartbeats. */
export const MOST_HEARTS = 50;
const SETTLE_MS = 300;

const frontends = new WeakMap<Element, string>();
const visible = new Set<Element>();
const [seen, setSeen] = createSignal<readonly string[]>([]);
const [many, setMany] = createSignal(false);
const [hidden, setHidden] = createSignal(document.visibilityState === "hidden");
let settling: ReturnType<typeof setTimeout> | undefined;

document.addEventListener("visibilitychange", () => setHidden(document.visibilityState === "hidden"));

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) visible.add(target);
    else visible.delete(target);
  }
  settle();
});

// Scrolling passes many rows: only where it comes to rest counts.
function settle(): void {
  clearTimeout(settling);
  settling = setTimeout(() => {
    const names = new Set([...visible].flatMap((element) => frontends.get(element) ?? []));
    setMany(visible.size > MOST_HEARTS);
    setSeen((before) => {
      const now = [...names].sort();
      return before.join() === now.join() ? before : now;
    });
  }, SETTLE_MS);
}

/** Watches a heart of one of `frontend`'s backends; the result ends it. */
export function watchHeart(element: Element, frontend: string): () => void {
  frontends.set(element, frontend);
  observer.observe(element);
  return () => {
    observer.unobserve(element);
    visible.delete(element);
    settle();
  };
}

/** Whether hearts beat: not when they are too many, paused, unwanted or unseen. */
export function hearts(): boolean {
  return moves() && !many() && !hidden();
}

/** Whether hearts stand still because there are too many. */
export { many as tooManyHearts };

/** The frontends whose backends' heartbeats are to be asked for. */
export function beating(): readonly string[] {
  return hearts() ? seen() : [];
}

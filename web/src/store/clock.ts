// One timer for all ages on the page. `now()` advances once a second, by the local clock corrected by the server's.
import { createSignal } from "solid-js";

/** A later tick means that nothing ran meanwhile: the machine slept, or the tab was frozen. */
export const SLEEP_GAP_MS = 10_000;

const [now, setNow] = createSignal(Date.now());
let serverOffsetMs = 0;

/** The server's time at the last tick, in milliseconds since the epoch. */
export { now };

/** The server's present time. */
export function serverTime(): number {
  return Date.now() + serverOffsetMs;
}

/** Corrects the clock. A difference below one second is latency. */
export function setServerTime(time: string): void {
  const offset = Date.parse(time) - Date.now();
  serverOffsetMs = Math.abs(offset) < 1000 ? 0 : offset;
  setNow(serverTime());
}

/**
 * Starts the timer: calls `onTick` every second, and `onSleep` after a gap that only sleep explains. The result stops
 * it.
 */
export function startClock(onTick: () => void, onSleep: () => void): () => void {
  let last = Date.now();
  const tick = () => {
    const current = Date.now();
    // A hidden tab can tick once a minute without being asleep. Its stream continues and detects its own failure.
    const hidden = document.visibilityState === "hidden";
    if (!hidden && Math.abs(current - last - 1000) > SLEEP_GAP_MS) onSleep();
    last = current;
    setNow(serverTime());
    onTick();
  };
  // A tab that becomes visible again did not sleep.
  const visibilityChanged = () => {
    last = Date.now();
  };
  const timer = setInterval(tick, 1000);
  document.addEventListener("visibilitychange", visibilityChanged);
  return () => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", visibilityChanged);
  };
}

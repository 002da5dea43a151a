// One timer for every age on the page: `now()` moves once a second, by this machine's clock corrected by the server's.
import { createSignal } from "solid-js";

/** A tick that late means that nothing ran meanwhile: the machine slept, or the tab was frozen. */
export const SLEEP_GAP_MS = 10_000;

const [now, setNow] = createSignal(Date.now());
let serverOffsetMs = 0;

/** The server's time at the last tick, milliseconds since the epoch. */
export { now };

/** The server's time, not only at ticks. */
export function serverTime(): number {
  return Date.now() + serverOffsetMs;
}

/** Takes what the server says the time is. Less than a second is the way it came. */
export function setServerTime(time: string): void {
  const offset = Date.parse(time) - Date.now();
  serverOffsetMs = Math.abs(offset) < 1000 ? 0 : offset;
  setNow(serverTime());
}

/** Starts the timer. `slept` is called after a gap that no timer explains, `ticked` every second. */
export function startClock(onTick: () => void, onSleep: () => void): () => void {
  let last = Date.now();
  const tick = () => {
    const current = Date.now();
    // A hidden tab may tick once a minute only, and is not asleep: its stream goes on, and the stream watches itself.
    const hidden = document.visibilityState === "hidden";
    if (!hidden && Math.abs(current - last - 1000) > SLEEP_GAP_MS) onSleep();
    last = current;
    setNow(serverTime());
    onTick();
  };
  // Whoever comes back to a tab that ticked slowly did not sleep meanwhile.
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

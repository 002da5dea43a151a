// Preferences, stored in the browser: theme, time zone, motion, and the tab to start with.
import { createSignal, type Accessor } from "solid-js";
import type { Zone } from "../lib/format";

/** Colour scheme; `system` follows the operating system. */
export type Theme = "system" | "dark" | "light";

const reducedMotionQuery = matchMedia("(prefers-reduced-motion: reduce)");

function persistedSignal<T extends string>(
  key: string,
  allowed: readonly T[],
): [Accessor<T>, (value: T) => void] {
  const name = `maglev.${key}`;
  const [value, setValue] = createSignal<T>(read(name, allowed));
  return [
    value,
    (chosen) => {
      setValue(() => chosen);
      write(name, chosen);
    },
  ];
}

// Storage can be forbidden. Then a preference lasts until the page is closed.
function read<T extends string>(name: string, allowed: readonly T[]): T {
  const first = allowed[0] as T;
  try {
    const stored = localStorage.getItem(name);
    return allowed.find((value) => value === stored) ?? first;
  } catch {
    return first;
  }
}

function write(name: string, value: string) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Storage is forbidden, see above.
  }
}

export const [theme, setTheme] = persistedSignal<Theme>("theme", ["system", "dark", "light"]);
export const [zone, setZone] = persistedSignal<Zone>("zone", ["utc", "local"]);
export const [motion, setMotion] = persistedSignal<"running" | "paused">("motion", ["running", "paused"]);

const [reducedMotion, setReducedMotion] = createSignal(reducedMotionQuery.matches);
reducedMotionQuery.addEventListener("change", (event) => setReducedMotion(event.matches));

/** True if the operating system requests reduced motion. */
export { reducedMotion };

/** True if flashes and heartbeats may be shown. */
export function animationsEnabled(): boolean {
  return !reducedMotion() && motion() === "running";
}

/** The tab that was open last, `""` for all nodes. */
export function lastTab(): string {
  try {
    return localStorage.getItem("maglev.tab") ?? "";
  } catch {
    return "";
  }
}

/** Stores the tab. */
export function rememberTab(node: string) {
  write("maglev.tab", node);
}

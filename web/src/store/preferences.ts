// What the person chose, remembered on this machine: theme, clock, pause, and the tab to begin with.
import { createSignal, type Accessor } from "solid-js";
import type { Zone } from "../lib/format";

/** The colours; `system` follows the machine. */
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

// Storage may be forbidden; then a choice lasts as long as the page.
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
    // As above.
  }
}

export const [theme, setTheme] = persistedSignal<Theme>("theme", ["system", "dark", "light"]);
export const [zone, setZone] = persistedSignal<Zone>("zone", ["utc", "local"]);
export const [motion, setMotion] = persistedSignal<"running" | "paused">("motion", ["running", "paused"]);

const [reducedMotion, setReducedMotion] = createSignal(reducedMotionQuery.matches);
reducedMotionQuery.addEventListener("change", (event) => setReducedMotion(event.matches));

/** Whether the person asked their system for reduced motion. */
export { reducedMotion };

/** Whether anything may move: flashes and heartbeats. */
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

/** Remembers it. */
export function rememberTab(node: string) {
  write("maglev.tab", node);
}

// Whether the order of a list may change: not under a pointer that somebody moves, nor under the focus of somebody
// who types. A pointer that was left lying on a wall's screen freezes nothing.
import { createMemo, createSignal, onCleanup, type Accessor } from "solid-js";
import { now } from "./clock";

const IDLE_MS = 30_000;

/** Event handlers for the list's element, and whether it is frozen. */
export interface Freeze {
  readonly frozen: Accessor<boolean>;
  attach(element: HTMLElement): void;
}

/** A freeze of one list. */
export function createFreeze(): Freeze {
  const [until, setUntil] = createSignal(0);
  let touched = 0;
  const touch = () => {
    // Once a second is often enough.
    if (Date.now() - touched < 1000) return;
    touched = Date.now();
    setUntil(now() + IDLE_MS);
  };
  const leave = () => {
    touched = 0;
    setUntil(0);
  };
  const attach = (element: HTMLElement) => {
    const pointer = (event: PointerEvent) => {
      if (event.pointerType === "mouse") touch();
    };
    const left = () => {
      if (!element.contains(document.activeElement)) leave();
    };
    const focusLeft = (event: FocusEvent) => {
      if (!(event.relatedTarget instanceof Node && element.contains(event.relatedTarget))) leave();
    };
    element.addEventListener("pointermove", pointer);
    element.addEventListener("pointerleave", left);
    element.addEventListener("focusin", touch);
    element.addEventListener("keydown", touch);
    element.addEventListener("focusout", focusLeft);
    onCleanup(leave);
  };
  // Ends by itself: the clock ticks.
  const frozen = createMemo(() => until() > now());
  return { frozen, attach };
}

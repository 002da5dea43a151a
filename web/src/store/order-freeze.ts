// Whether the order of a list may change: not under a pointer that somebody moves, nor under the focus of somebody
// who types. A pointer that was left lying on a wall's screen freezes nothing.
import { createMemo, createSignal, onCleanup, type Accessor } from "solid-js";
import { now } from "./clock";

const IDLE_TIMEOUT_MS = 30_000;

/** Event handlers for the list's element, and whether it is frozen. */
export interface OrderFreeze {
  readonly frozen: Accessor<boolean>;
  attach(element: HTMLElement): void;
}

/** A freeze of one list. */
export function createOrderFreeze(): OrderFreeze {
  const [frozenUntil, setFrozenUntil] = createSignal(0);
  let touchedAt = 0;
  const touch = () => {
    // Once a second is often enough.
    if (Date.now() - touchedAt < 1000) return;
    touchedAt = Date.now();
    setFrozenUntil(now() + IDLE_TIMEOUT_MS);
  };
  const release = () => {
    touchedAt = 0;
    setFrozenUntil(0);
  };
  const attach = (element: HTMLElement) => {
    const pointerMoved = (event: PointerEvent) => {
      if (event.pointerType === "mouse") touch();
    };
    const pointerLeft = () => {
      if (!element.contains(document.activeElement)) release();
    };
    const focusLeft = (event: FocusEvent) => {
      if (!(event.relatedTarget instanceof Node && element.contains(event.relatedTarget))) release();
    };
    element.addEventListener("pointermove", pointerMoved);
    element.addEventListener("pointerleave", pointerLeft);
    element.addEventListener("focusin", touch);
    element.addEventListener("keydown", touch);
    element.addEventListener("focusout", focusLeft);
    onCleanup(release);
  };
  // Ends by itself: the clock ticks.
  const frozen = createMemo(() => frozenUntil() > now());
  return { frozen, attach };
}

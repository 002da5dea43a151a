// Freezing of a list's order while the pointer moves over it or it has the focus, so that rows do not move away. A
// pointer that rests on a wall-mounted screen freezes nothing.
import { createMemo, createSignal, onCleanup, type Accessor } from "solid-js";
import { now } from "./clock";

const IDLE_TIMEOUT_MS = 30_000;

export interface OrderFreeze {
  readonly frozen: Accessor<boolean>;
  attach(element: HTMLElement): void;
}

/** Creates the freeze of one list. */
export function createOrderFreeze(): OrderFreeze {
  const [frozenUntil, setFrozenUntil] = createSignal(0);
  let touchedAt = 0;
  const touch = () => {
    // At most once a second.
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
  // Expires as the clock ticks.
  const frozen = createMemo(() => frozenUntil() > now());
  return { frozen, attach };
}

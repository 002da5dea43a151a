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
    let last = "";
    // The document's events, because a list that moves under a pointer at rest must stay frozen: for that the browser
    // reports that the pointer left, but not that it moved.
    const pointerMoved = (event: PointerEvent) => {
      const position = `${String(event.clientX)},${String(event.clientY)}`;
      if (event.pointerType !== "mouse" || position === last) return;
      last = position;
      if (event.target instanceof Node && element.contains(event.target)) touch();
      else if (!element.contains(document.activeElement)) release();
    };
    const pointerLeftPage = () => {
      if (!element.contains(document.activeElement)) release();
    };
    const focusLeft = (event: FocusEvent) => {
      if (!(event.relatedTarget instanceof Node && element.contains(event.relatedTarget))) release();
    };
    document.addEventListener("pointermove", pointerMoved);
    document.documentElement.addEventListener("pointerleave", pointerLeftPage);
    element.addEventListener("focusin", touch);
    element.addEventListener("keydown", touch);
    element.addEventListener("focusout", focusLeft);
    onCleanup(() => {
      document.removeEventListener("pointermove", pointerMoved);
      document.documentElement.removeEventListener("pointerleave", pointerLeftPage);
      release();
    });
  };
  // Expires as the clock ticks.
  const frozen = createMemo(() => frozenUntil() > now());
  return { frozen, attach };
}

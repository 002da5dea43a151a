// Flashes a value for one second after it changed, by the Web Animations API: not when it first appears, and not with
// reduced motion or while paused.
import { createEffect, type JSX } from "solid-js";
import { animationsEnabled } from "../store/preferences";

const FADE_MS = 1000;
const UNSET = Symbol("not shown yet");

/** Wraps the element that shows `value`. */
export function Flash(props: {
  readonly value: unknown;
  readonly class?: string;
  readonly children: JSX.Element;
}): JSX.Element {
  let element!: HTMLSpanElement;
  // The effect also runs if the value is computed anew without a change.
  let previous: unknown = UNSET;
  createEffect(() => {
    const value = props.value;
    if (previous !== UNSET && previous !== value) flash(element);
    previous = value;
  });
  return (
    <span ref={element} class={props.class}>
      {props.children}
    </span>
  );
}

function flash(element: HTMLElement) {
  if (!animationsEnabled()) return;
  for (const running of element.getAnimations()) running.cancel();
  element.animate([{ backgroundColor: "var(--flash)" }, { backgroundColor: "transparent" }], {
    duration: FADE_MS,
    easing: "ease-out",
  });
}

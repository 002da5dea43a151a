// A value that shows for one second that it changed: a fade of the background by the Web Animations API. Not when it
// first appears, and not at all for who asked for reduced motion or pressed pause.
import { createEffect, type JSX } from "solid-js";
import { animationsEnabled } from "../store/preferences";

const FADE_MS = 1000;
const UNSET = Symbol("not shown yet");

/** Wraps what is shown for `value`; flashes when `value` is another one. */
export function Flash(props: {
  readonly value: unknown;
  readonly class?: string;
  readonly children: JSX.Element;
}): JSX.Element {
  let element!: HTMLSpanElement;
  // What the value hangs on may change without it, so it is compared.
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

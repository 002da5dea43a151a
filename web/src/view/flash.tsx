// A value that shows for one second that it changed: a fade of the background by the Web Animations API. Not when it
// first appears, and not at all for who asked for reduced motion or pressed pause.
import { createEffect, on, type JSX } from "solid-js";
import { moves } from "../page/preferences";

const FADE_MS = 1000;

/** Wraps what is shown for `value`; flashes when `value` is another one. */
export function Flash(props: {
  readonly value: unknown;
  readonly class?: string;
  readonly children: JSX.Element;
}): JSX.Element {
  let element!: HTMLSpanElement;
  createEffect(
    on(
      () => props.value,
      () => flash(element),
      { defer: true },
    ),
  );
  return (
    <span ref={element} class={props.class}>
      {props.children}
    </span>
  );
}

function flash(element: HTMLElement) {
  if (!moves()) return;
  for (const running of element.getAnimations()) running.cancel();
  element.animate([{ backgroundColor: "var(--flash)" }, { backgroundColor: "transparent" }], {
    duration: FADE_MS,
    easing: "ease-out",
  });
}

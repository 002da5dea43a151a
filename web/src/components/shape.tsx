// The shapes of states. Drawn instead of typed: a font can lack a glyph or show it as an emoji.
import type { JSX } from "solid-js";
import type { DisplayState } from "../lib/display-state";

/** The outlines, 12 by 12. */
export const PATHS: Record<DisplayState, string> = {
  up: "M6 1.5 11 10.5H1Z",
  down: "M6 10.5 1 1.5H11Z",
  standby: "M6 1a5 5 0 0 1 0 10Z M6 1.75a4.25 4.25 0 0 0 0 8.5V11A5 5 0 0 1 6 1Z",
  paused: "M2.5 1.5h2.5v9H2.5Z M7 1.5h2.5v9H7Z",
  disabled: "M2.6 1.2 6 4.6 9.4 1.2 10.8 2.6 7.4 6l3.4 3.4-1.4 1.4L6 7.4l-3.4 3.4-1.4-1.4L4.6 6 1.2 2.6Z",
  unknown:
    "M3 4.2C3 2.3 4.3 1.2 6.1 1.2c1.8 0 3 1 3 2.6 0 1.3-.7 1.9-1.4 2.5-.6.5-.9.8-.9 1.5H5.2c0-1.4.6-2 1.3-2.6.6-.4.9-.8.9-1.3 0-.6-.5-1.1-1.3-1.1-.9 0-1.4.5-1.4 1.4Z M5.1 9h1.8v1.8H5.1Z",
  mixed: "M6 .8 11.2 6 6 11.2.8 6Z M6 3 3 6l3 3Z",
  stale: "M1 1h2L1 3Z M5.5 1h2.2L1 7.7V5.5Z M10.2 1H11v1.4L2.4 11H1v-.8Z M11 4.7V7L7 11H4.7Z M11 9.3V11H9.3Z",
  waiting: "M2 5h2v2H2Z M5 5h2v2H5Z M8 5h2v2H8Z",
  dropping: "M5 1h2v5h2.5L6 10.5 2.5 6H5Z M1.5 10.5h9v1h-9Z",
  rejected: "M6 .8A5.2 5.2 0 1 1 6 11.2 5.2 5.2 0 0 1 6 .8Z M5.2 2.8v4h1.6v-4Z M5.2 7.8v1.6h1.6V7.8Z",
};

/**
 * The shape, 12 by 12 pixels in the colour of the state. Hidden from screen readers, since a label is beside it.
 */
export function Shape(props: { readonly state: DisplayState }): JSX.Element {
  return (
    <svg class={`shape is-${props.state}`} viewBox="0 0 12 12" aria-hidden="true">
      <path d={PATHS[props.state]} fill-rule="evenodd" />
    </svg>
  );
}

/** A shape with its label. */
export function StateLabel(props: {
  readonly state: DisplayState;
  readonly label?: string | undefined;
}): JSX.Element {
  return (
    <span class={`state is-${props.state}`}>
      <Shape state={props.state} />
      {props.label ?? props.state}
    </span>
  );
}

// The mark of the path of a VIP's packets to a backend: an arrow that arrives, is stopped, or is dashed.
import { Show, type JSX } from "solid-js";
import { pathKind, pathLabel, pathTooltip, type PathKind, type PathSummary } from "../lib/path";
import { zone } from "../store/preferences";
import { Flash } from "./flash";

/** The outlines, 12 by 12. */
const OUTLINES: Record<PathKind, string> = {
  ok: "M1 5.4h7L5.8 3.2l.9-.8L10.7 6 6.7 9.6l-.9-.8L8 6.6H1Z",
  failing: "M0 5.3h6v1.4H0Z M5.3 3.9l1-1L8.4 5l2.1-2.1 1 1L9.4 6l2.1 2.1-1 1L8.4 7 6.3 9.1l-1-1L7.4 6Z",
  unknown: "M.6 5.3h2.6v1.4H.6Z M4.7 5.3h2.6v1.4H4.7Z M8.8 5.3h2.6v1.4H8.8Z",
};

/** The glyph of a kind. Hidden from screen readers. */
export function PathGlyph(props: { readonly kind: PathKind }): JSX.Element {
  return (
    <svg class={`path-glyph path-${props.kind}`} viewBox="0 0 12 12" aria-hidden="true">
      <path d={OUTLINES[props.kind]} />
    </svg>
  );
}

/** The mark, of a fixed size, with everything about the path in its tooltip. */
export function PathMark(props: { readonly path: PathSummary }): JSX.Element {
  return (
    <Flash value={pathLabel(props.path)} class="path-mark">
      <span
        role="img"
        aria-label={`VIP path: ${pathLabel(props.path)}`}
        title={pathTooltip(props.path, zone())}
      >
        <PathGlyph kind={pathKind(props.path.state)} />
      </span>
    </Flash>
  );
}

/** The word of a failure, beside the backend's state: shown where there is room for it, and on a phone, without tooltips. */
export function PathFailure(props: { readonly path: PathSummary }): JSX.Element {
  return (
    <Show when={pathKind(props.path.state) === "failing"}>
      {" "}
      <span class="path-failure is-standby" title={pathTooltip(props.path, zone())}>
        {pathLabel(props.path)}
      </span>
    </Show>
  );
}

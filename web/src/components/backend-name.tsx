// A backend's name with its colour, as a link to its page.
import type { JSX } from "solid-js";
import { backendHue } from "../lib/backend-color";
import { backendLink } from "../store/location";

export function BackendName(props: { readonly name: string }): JSX.Element {
  return (
    <span class="backend-name">
      <span class={`swatch hue-${backendHue(props.name)}`} aria-hidden="true" />
      <a href={backendLink(props.name)} class="clip" title={props.name}>
        {props.name}
      </a>
    </span>
  );
}

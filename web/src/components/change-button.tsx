// The button that opens the dialog of operator changes.
import { Show, type JSX } from "solid-js";
import { changesEnabled, openAdmin, type ChangeTarget } from "../store/admin";

/** The button; empty if operator changes are off. */
export function ChangeButton(props: ChangeTarget): JSX.Element {
  return (
    <Show when={changesEnabled()}>
      {" "}
      <button
        type="button"
        class="small change-button"
        aria-label={`change ${props.backend}`}
        onClick={() =>
          openAdmin({ backend: props.backend, ...(props.member ? { member: props.member } : {}) })
        }
      >
        change
      </button>
    </Show>
  );
}

// Opens the dialog in which a Backend is paused, enabled, disabled or given another weight.
import { Show, type JSX } from "solid-js";
import { mode, openAdmin, type ChangeTarget } from "../store/admin";

/** The button; nothing where nothing can be changed. */
export function ChangeButton(props: ChangeTarget): JSX.Element {
  return (
    <Show when={mode()}>
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

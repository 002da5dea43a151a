// The dialog of whoever changes things: first who it is, then what.
import { Show, type JSX } from "solid-js";
import { closeAdmin, signedIn, subject, type Subject } from "../store/admin";
import { ChangeForm } from "./change-form";
import { SignInForm } from "./sign-in";

/** The dialog. */
export function AdminDialog(): JSX.Element {
  const about = (): Subject | undefined => {
    const of = subject();
    return of === "sign-in" ? undefined : of;
  };
  return (
    <Show when={subject()}>
      <dialog
        class="help admin"
        aria-label="Change by hand"
        ref={(dialog) => queueMicrotask(() => dialog.showModal())}
        onClose={closeAdmin}
      >
        <Show when={signedIn()} fallback={<SignInForm />}>
          {(who) => (
            <Show when={about()} fallback={<p>You are signed in as {who().who}.</p>}>
              {(of) => <ChangeForm subject={of()} />}
            </Show>
          )}
        </Show>
        <button
          type="button"
          class="admin-close"
          onClick={(event) => event.currentTarget.closest("dialog")?.close()}
        >
          close
        </button>
      </dialog>
    </Show>
  );
}

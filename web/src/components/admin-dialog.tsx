// The dialog of whoever changes things: first who it is, then what.
import { Show, type JSX } from "solid-js";
import { closeAdmin, adminSession, changeTarget, type ChangeTarget } from "../store/admin";
import { ChangeForm } from "./change-form";
import { SignInForm } from "./sign-in";

/** The dialog. */
export function AdminDialog(): JSX.Element {
  const backendTarget = (): ChangeTarget | undefined => {
    const target = changeTarget();
    return target === "sign-in" ? undefined : target;
  };
  return (
    <Show when={changeTarget()}>
      <dialog
        class="help admin"
        aria-label="Change by hand"
        ref={(dialog) => queueMicrotask(() => dialog.showModal())}
        onClose={closeAdmin}
      >
        <Show when={adminSession()} fallback={<SignInForm />}>
          {(session) => (
            <Show when={backendTarget()} fallback={<p>You are signed in as {session().who}.</p>}>
              {(target) => <ChangeForm subject={target()} />}
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

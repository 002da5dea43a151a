// The dialog of operator changes: first the sign-in form, then the change.
import { Show, type JSX } from "solid-js";
import { closeAdmin, adminSession, changeTarget, type ChangeTarget } from "../store/admin";
import { ChangeForm } from "./change-form";
import { SignInForm } from "./sign-in";

export function AdminDialog(): JSX.Element {
  const backendTarget = (): ChangeTarget | undefined => {
    const target = changeTarget();
    return target === "sign-in" ? undefined : target;
  };
  return (
    <Show when={changeTarget()}>
      <dialog
        class="help admin"
        aria-label="Operator change"
        ref={(dialog) => queueMicrotask(() => dialog.showModal())}
        onClose={closeAdmin}
      >
        <Show when={adminSession()} fallback={<SignInForm to="change" />}>
          {(session) => (
            <Show when={backendTarget()} fallback={<p>Signed in as {session().who}.</p>}>
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

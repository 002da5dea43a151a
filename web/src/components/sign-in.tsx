// The sign-in form. A password or token is sent to the server and not stored.
import { createSignal, Show, type JSX } from "solid-js";
import { mode, sessionEnded, signIn, errorMessage } from "../store/admin";

/** The form, for reading or for changes. */
export function SignInForm(props: { readonly to: "read" | "change" }): JSX.Element {
  const [errorText, setError] = createSignal("");
  const [submitting, setSubmitting] = createSignal(false);
  const submit = async (form: HTMLFormElement) => {
    const text = (name: string) => {
      const field = form.elements.namedItem(name);
      return field instanceof HTMLInputElement ? field.value : "";
    };
    const credentials =
      mode() === "token"
        ? { token: text("token").trim() }
        : { user: text("user"), password: text("password") };
    setSubmitting(true);
    setError("");
    try {
      await signIn(credentials);
    } catch (error) {
      setError(errorMessage(error));
    } finally {
      form.reset();
      setSubmitting(false);
    }
  };
  return (
    <form
      class="admin-form"
      onSubmit={(event) => {
        event.preventDefault();
        void submit(event.currentTarget);
      }}
    >
      <h2>{props.to === "read" ? "Sign in to see the load balancer" : "Sign in to make changes"}</h2>
      <Show when={props.to === "read" && sessionEnded()}>
        <p>Your session has ended.</p>
      </Show>
      <Show
        when={mode() === "token"}
        fallback={
          <>
            <label>
              User <input name="user" autocomplete="username" required autofocus />
            </label>
            <label>
              Password <input name="password" type="password" autocomplete="current-password" required />
            </label>
          </>
        }
      >
        <label>
          Kubernetes token <input name="token" type="password" autocomplete="off" required autofocus />
        </label>
        <p class="dim">
          {props.to === "read"
            ? "Its user must have the right to list every kind of maglev.vpp.io in all namespaces."
            : "Changes are made with the permissions of the token."}{" "}
          To create one, run <code>kubectl create token NAME --duration=1h</code>.
        </p>
      </Show>
      <p class="is-down" role="alert">
        {errorText()}
      </p>
      <button type="submit" disabled={submitting()}>
        {submitting() ? "signing in…" : "sign in"}
      </button>
    </form>
  );
}

// Who are you? A password or a token goes to the server and is forgotten here.
import { createSignal, Show, type JSX } from "solid-js";
import { mode, signIn, why } from "../store/admin";

/** The form. */
export function SignInForm(): JSX.Element {
  const [refused, setRefused] = createSignal("");
  const [waits, setWaits] = createSignal(false);
  const submit = async (form: HTMLFormElement) => {
    const text = (name: string) => {
      const field = form.elements.namedItem(name);
      return field instanceof HTMLInputElement ? field.value : "";
    };
    const typed =
      mode() === "token"
        ? { token: text("token").trim() }
        : { user: text("user"), password: text("password") };
    setWaits(true);
    setRefused("");
    try {
      await signIn(typed);
    } catch (error) {
      setRefused(why(error));
    } finally {
      form.reset();
      setWaits(false);
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
      <h2>Sign in to change things</h2>
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
          Changes are made with your own rights: <code>kubectl create token NAME --duration=1h</code> gives
          one.
        </p>
      </Show>
      <p class="is-down" role="alert">
        {refused()}
      </p>
      <button type="submit" disabled={waits()}>
        {waits() ? "signing in…" : "sign in"}
      </button>
    </form>
  );
}

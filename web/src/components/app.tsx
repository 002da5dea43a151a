// The page: the dashboard, or the sign-in form until a user may read.
import { createEffect, Match, onMount, Switch, type JSX } from "solid-js";
import { access, loadSession } from "../store/admin";
import { theme } from "../store/preferences";
import { Dashboard } from "./dashboard";
import { SignInForm } from "./sign-in";

export function App(): JSX.Element {
  onMount(() => void loadSession());
  createEffect(() => {
    if (theme() === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme();
  });
  return (
    <Switch>
      <Match when={access() === "open"}>
        <Dashboard />
      </Match>
      <Match when={access() === "closed"}>
        <SignInPage />
      </Match>
    </Switch>
  );
}

function SignInPage(): JSX.Element {
  onMount(() => {
    document.title = "maglev: sign in";
  });
  return (
    <main class="sign-in-page">
      <h1>maglev</h1>
      <SignInForm to="read" />
    </main>
  );
}

// The form of an operator change: change, preview, reason; then the result.
import { createEffect, createSignal, For, on, Show, type JSX } from "solid-js";
import {
  previewMessage,
  progressSummary,
  flowEffect,
  warnings,
  actionLabel,
  parseWeight,
  changeSummary,
} from "../lib/operator-change";
import { AdminError } from "../sync/admin";
import type { AdminState, Change, ChangeReport, Preview } from "../sync/contract";
import { admin, adminSession, errorMessage, type ChangeTarget } from "../store/admin";

const STATES: readonly AdminState[] = ["Enabled", "Paused", "Disabled"];

// Errors of the server that force overrides.
const FORCIBLE: readonly string[] = ["OwnedByOther", "WouldLeaveUnserved", "NoAgentAnswers"];

type Choice = AdminState | "weight";

export function ChangeForm(props: { readonly subject: ChangeTarget }): JSX.Element {
  const [choice, setChoice] = createSignal<Choice>();
  const [weight, setWeight] = createSignal("");
  const [preview, setPreview] = createSignal<Preview>();
  const [reason, setReason] = createSignal("");
  const [force, setForce] = createSignal(false);
  const [forcible, setForcible] = createSignal(false);
  const [errorText, setError] = createSignal("");
  const [submitting, setSubmitting] = createSignal(false);
  const [result, setResult] = createSignal<ChangeReport>();
  const change = (): Change | undefined => changeFromForm(props.subject, choice(), weight());
  const needsForce = () =>
    forcible() || (preview() !== undefined && previewMessage(preview() as Preview).requiresForce);

  let latestRequest = 0;
  createEffect(
    on(change, (requested) => {
      setPreview(undefined);
      setError("");
      setForce(false);
      setForcible(false);
      const session = adminSession();
      if (!requested || !session) return;
      // The choice can change before the response arrives.
      const requestId = ++latestRequest;
      admin
        .preview(session, requested)
        .then((response) => requestId === latestRequest && setPreview(response))
        .catch((error: unknown) => requestId === latestRequest && setError(errorMessage(error)));
    }),
  );

  const submit = async () => {
    const [session, requested] = [adminSession(), change()];
    if (!session || !requested) return;
    setSubmitting(true);
    setError("");
    try {
      setResult(await admin.change(session, requested, reason(), force()));
    } catch (error) {
      setForcible(error instanceof AdminError && FORCIBLE.includes(error.reason));
      setError(errorMessage(error));
    } finally {
      setSubmitting(false);
    }
  };

  return (
    <form
      class="admin-form"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <h2>
        Change <span class="mono">{props.subject.backend}</span>
      </h2>
      <Show when={!result()} fallback={<Result changed={result() as ChangeReport} />}>
        <fieldset disabled={submitting()}>
          <legend>Change</legend>
          <For each={STATES}>
            {(state) => (
              <label class="choice">
                <input type="radio" name="what" value={state} onChange={() => setChoice(state)} />
                <span class="strong">{actionLabel(state)}</span> <span class="dim">{flowEffect(state)}</span>
              </label>
            )}
          </For>
          <Show when={props.subject.member}>
            {(member) => (
              <label class="choice">
                <input type="radio" name="what" value="weight" onChange={() => setChoice("weight")} />
                <span class="strong">Weight</span>
                <input
                  class="weight"
                  inputmode="numeric"
                  aria-label="weight, 0 to 100"
                  placeholder={`${member().weight ?? ""}`}
                  onInput={(event) => setWeight(event.currentTarget.value)}
                />
                <span class="dim">
                  0 to 100, in pool {member().pool} of {member().frontend}
                </span>
              </label>
            )}
          </Show>
        </fieldset>
        <p class="admin-touches" classList={{ "is-down": needsForce() }} aria-live="polite">
          <Show when={preview()}>{(response) => previewMessage(response()).text}</Show>
        </p>
        <ul class="admin-effects" aria-label="effect on flows">
          <For each={preview()?.effects}>{(text) => <li>{text}</li>}</For>
        </ul>
        <label>
          Reason{" "}
          <input
            value={reason()}
            maxlength="200"
            placeholder="recorded in an annotation and an Event"
            onInput={(event) => setReason(event.currentTarget.value)}
          />
        </label>
        <Show when={needsForce()}>
          <label class="choice">
            <input
              type="checkbox"
              checked={force()}
              onChange={(event) => setForce(event.currentTarget.checked)}
            />
            apply anyway
          </label>
        </Show>
        <p class="is-down" role="alert">
          {errorText()}
        </p>
        <button type="submit" disabled={submitting() || !preview() || (needsForce() && !force())}>
          {submitting() ? "waiting for every node…" : "apply change"}
        </button>
      </Show>
    </form>
  );
}

function changeFromForm(
  { backend, member }: ChangeTarget,
  choice: Choice | undefined,
  text: string,
): Change | undefined {
  if (choice === undefined) return undefined;
  if (choice !== "weight") return { field: "admin_state", backend, state: choice };
  const weight = parseWeight(text);
  if (!member || weight === undefined) return undefined;
  const name = backend.slice(backend.indexOf("/") + 1);
  return { field: "weight", frontend: member.frontend, pool: member.pool, backend: name, weight };
}

function Result(props: { readonly changed: ChangeReport }): JSX.Element {
  return (
    <div role="status">
      <p>{changeSummary(props.changed)}</p>
      <p classList={{ "is-standby": props.changed.in_effect_on < props.changed.nodes }}>
        {progressSummary(props.changed)}
      </p>
      <ul>
        <For each={warnings(props.changed)}>{(text) => <li class="is-standby">{text}</li>}</For>
      </ul>
      <Show when={props.changed.written}>
        <p class="dim">recorded as a change by {props.changed.by}</p>
      </Show>
    </div>
  );
}

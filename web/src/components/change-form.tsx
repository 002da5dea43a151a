// A change by hand: what, whom it touches, why; and then what came of it.
import { createEffect, createSignal, For, on, Show, type JSX } from "solid-js";
import { confirmation, effect, meaning, remarks, verb, weightOf, written } from "../lib/operator-change";
import { NotDone, type AdminState, type Change, type Changed, type Preview } from "../sync/admin";
import { admin, signedIn, why, type Subject } from "../store/admin";

const STATES: readonly AdminState[] = ["Enabled", "Paused", "Disabled"];

// What the server refuses unless forced.
const FORCIBLE: readonly string[] = ["OwnedByOther", "WouldLeaveUnserved", "NoAgentAnswers"];

type What = AdminState | "weight";

/** The form. */
export function ChangeForm(props: { readonly subject: Subject }): JSX.Element {
  const [what, setWhat] = createSignal<What>();
  const [weight, setWeight] = createSignal("");
  const [preview, setPreview] = createSignal<Preview>();
  const [reason, setReason] = createSignal("");
  const [force, setForce] = createSignal(false);
  const [forcible, setForcible] = createSignal(false);
  const [refused, setRefused] = createSignal("");
  const [waits, setWaits] = createSignal(false);
  const [done, setDone] = createSignal<Changed>();
  const change = (): Change | undefined => wanted(props.subject, what(), weight());
  const hurts = () => forcible() || (preview() !== undefined && confirmation(preview() as Preview).hurts);

  let asked = 0;
  createEffect(
    on(change, (wants) => {
      setPreview(undefined);
      setRefused("");
      setForce(false);
      setForcible(false);
      const who = signedIn();
      if (!wants || !who) return;
      // Another one may be chosen before the answer comes.
      const mine = ++asked;
      admin
        .preview(who, wants)
        .then((answer) => mine === asked && setPreview(answer))
        .catch((error: unknown) => mine === asked && setRefused(why(error)));
    }),
  );

  const make = async () => {
    const [who, wants] = [signedIn(), change()];
    if (!who || !wants) return;
    setWaits(true);
    setRefused("");
    try {
      setDone(await admin.change(who, wants, reason(), force()));
    } catch (error) {
      setForcible(error instanceof NotDone && FORCIBLE.includes(error.reason));
      setRefused(why(error));
    } finally {
      setWaits(false);
    }
  };

  return (
    <form
      class="admin-form"
      onSubmit={(event) => {
        event.preventDefault();
        void make();
      }}
    >
      <h2>
        Change <span class="mono">{props.subject.backend}</span>
      </h2>
      <Show when={!done()} fallback={<Result changed={done() as Changed} />}>
        <fieldset disabled={waits()}>
          <legend>What</legend>
          <For each={STATES}>
            {(state) => (
              <label class="choice">
                <input type="radio" name="what" value={state} onChange={() => setWhat(state)} />
                <span class="strong">{verb(state)}</span> <span class="dim">{meaning(state)}</span>
              </label>
            )}
          </For>
          <Show when={props.subject.member}>
            {(member) => (
              <label class="choice">
                <input type="radio" name="what" value="weight" onChange={() => setWhat("weight")} />
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
        <p class="admin-touches" classList={{ "is-down": hurts() }} aria-live="polite">
          <Show when={preview()}>{(of) => confirmation(of()).text}</Show>
        </p>
        <label>
          Why{" "}
          <input
            value={reason()}
            maxlength="200"
            placeholder="stands in an annotation and an Event"
            onInput={(event) => setReason(event.currentTarget.value)}
          />
        </label>
        <Show when={hurts()}>
          <label class="choice">
            <input
              type="checkbox"
              checked={force()}
              onChange={(event) => setForce(event.currentTarget.checked)}
            />
            do it all the same
          </label>
        </Show>
        <p class="is-down" role="alert">
          {refused()}
        </p>
        <button type="submit" disabled={waits() || !preview() || (hurts() && !force())}>
          {waits() ? "waiting for every node…" : "make the change"}
        </button>
      </Show>
    </form>
  );
}

function wanted({ backend, member }: Subject, what: What | undefined, text: string): Change | undefined {
  if (what === undefined) return undefined;
  if (what !== "weight") return { field: "admin_state", backend, state: what };
  const weight = weightOf(text);
  if (!member || weight === undefined) return undefined;
  const name = backend.slice(backend.indexOf("/") + 1);
  return { field: "weight", frontend: member.frontend, pool: member.pool, backend: name, weight };
}

function Result(props: { readonly changed: Changed }): JSX.Element {
  return (
    <div role="status">
      <p>{written(props.changed)}</p>
      <p classList={{ "is-standby": props.changed.in_effect_on < props.changed.nodes }}>
        {effect(props.changed)}
      </p>
      <ul>
        <For each={remarks(props.changed)}>{(text) => <li class="is-standby">{text}</li>}</For>
      </ul>
      <Show when={props.changed.written}>
        <p class="dim">recorded for {props.changed.by}</p>
      </Show>
    </div>
  );
}

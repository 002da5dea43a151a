// What Kubernetes says of an object: conditions, generations, who changed it last and when, and the commands that
// show it.
import { For, Show, type JSX } from "solid-js";
import { commandsFor } from "../fold/commands";
import type { Condition, Kind, ObjectInfo, Problem } from "../live/contract";
import type { StateWord } from "../fold/words";
import { Age } from "./age";
import { Command } from "./copy";
import { Shape } from "./shape";

// Conditions that are bad when they are true.
const NEGATIVE = new Set(["Conflicted", "Degraded", "ProbePathSuspect", "RemovalHeld"]);

/** An object's block. `programmed` says how far the nodes are with its generation. */
export function ObjectBlock(props: {
  readonly kind: Kind;
  readonly name: string;
  readonly info: ObjectInfo | undefined;
  readonly problems: readonly Problem[];
  readonly programmed?: string;
}): JSX.Element {
  return (
    <section class="block object" aria-label={`${props.kind} ${props.name}`}>
      <h4>
        {props.kind} <span class="mono">{props.name}</span>
      </h4>
      <Show when={props.info}>
        {(info) => (
          <p class="dim">
            generation {info().generation}
            <Show when={props.programmed}> · {props.programmed}</Show>
            <Show when={info().changed}>
              {(changed) => (
                <>
                  {" · "}changed by <span class="strong">{changed().by}</span> <Age since={changed().at} />{" "}
                  ago
                </>
              )}
            </Show>
            {" · "}created <Age since={info().created} /> ago
          </p>
        )}
      </Show>
      <Problems problems={props.problems} />
      <Show when={props.info}>
        {(info) => (
          <>
            <Show
              when={info().observed_generation !== undefined}
              fallback={
                <p class="dim">No controller has written a status: what nodes say is all there is.</p>
              }
            >
              <Conditions conditions={info().conditions} generation={info().generation} />
            </Show>
            <For each={Object.entries(info().annotations)}>
              {([key, value]) => (
                <p class="dim">
                  {key}: {value}
                </p>
              )}
            </For>
          </>
        )}
      </Show>
      <For each={props.info?.kubectl ?? commandsFor(props.kind, props.name)}>
        {(text) => <Command text={text} label={`${props.kind} ${props.name}`} />}
      </For>
    </section>
  );
}

/** What is wrong with an object. */
export function Problems(props: { readonly problems: readonly Problem[] }): JSX.Element {
  return (
    <For each={props.problems}>
      {({ reason, field, message }) => (
        <p class="problem">
          <Shape of="rejected" /> <span class="strong">{reason}</span>{" "}
          <Show when={field}>
            <code>{field}</code>{" "}
          </Show>
          {message}
        </p>
      )}
    </For>
  );
}

// Those that are as they should be in one line; every other has its own, with its message.
function Conditions(props: {
  readonly conditions: ObjectInfo["conditions"];
  readonly generation: number;
}): JSX.Element {
  const old = (of: Condition) => of.generation !== undefined && of.generation < props.generation;
  const wrong = (type: string, of: Condition) => shapeOf(type, of) !== "up" || old(of);
  const entries = () =>
    Object.entries(props.conditions).sort(([a, x], [b, y]) => Number(wrong(a, x)) - Number(wrong(b, y)));
  return (
    <ul class="conditions">
      <For each={entries()}>
        {([type, of]) => (
          <li
            classList={{ wrong: wrong(type, of) }}
            title={`${type} ${of.status}, ${of.reason}: ${of.message}`}
          >
            <Shape of={shapeOf(type, of)} /> <span class="strong">{type}</span>
            <span class="dim">
              {" "}
              {of.status === "True" ? "" : of.status} <Age since={of.since} />
            </span>
            <Show when={wrong(type, of)}>
              {" "}
              <span class="strong">{of.reason}</span> {of.message}
              <Show when={old(of)}>
                <span class="dim"> as of generation {of.generation}</span>
              </Show>
            </Show>
          </li>
        )}
      </For>
    </ul>
  );
}

function shapeOf(type: string, { status }: Condition): StateWord {
  if (status === "Unknown") return "unknown";
  return (status === "True") === NEGATIVE.has(type) ? "rejected" : "up";
}

// What Kubernetes says of an object: conditions, generations, who changed it last and when, and the commands that
// show it.
import { createMemo, For, Show, type JSX } from "solid-js";
import { commandsFor } from "../lib/commands";
import type { Condition, Kind, ObjectInfo, Problem } from "../sync/contract";
import type { StateWord } from "../lib/display-state";
import { Age } from "./age";
import { Command } from "./command";
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
  const types = createMemo(() => wellFirst(props.conditions, props.generation));
  return (
    <ul class="conditions">
      <For each={types()}>
        {(type) => (
          <Show when={props.conditions[type]}>
            {(of) => <ConditionItem type={type} of={of()} generation={props.generation} />}
          </Show>
        )}
      </For>
    </ul>
  );
}

function ConditionItem(props: {
  readonly type: string;
  readonly of: Condition;
  readonly generation: number;
}): JSX.Element {
  const wrong = () => !isWell(props.type, props.of, props.generation);
  return (
    <li
      classList={{ wrong: wrong() }}
      title={`${props.type} ${props.of.status}, ${props.of.reason}: ${props.of.message}`}
    >
      <Shape of={shapeOf(props.type, props.of)} /> <span class="strong">{props.type}</span>
      <span class="dim">
        {" "}
        {props.of.status === "True" ? "" : props.of.status} <Age since={props.of.since} />
      </span>
      <Show when={wrong()}>
        {" "}
        <span class="strong">{props.of.reason}</span> {props.of.message}
        <Show when={isOld(props.of, props.generation)}>
          <span class="dim"> as of generation {props.of.generation}</span>
        </Show>
      </Show>
    </li>
  );
}

function wellFirst(conditions: ObjectInfo["conditions"], generation: number): string[] {
  const types = Object.entries(conditions);
  const well = types.filter(([type, of]) => isWell(type, of, generation));
  const wrong = types.filter(([type, of]) => !isWell(type, of, generation));
  return [...well, ...wrong].map(([type]) => type);
}

function isWell(type: string, of: Condition, generation: number): boolean {
  return shapeOf(type, of) === "up" && !isOld(of, generation);
}

function isOld(of: Condition, generation: number): boolean {
  return of.generation !== undefined && of.generation < generation;
}

function shapeOf(type: string, { status }: Condition): StateWord {
  if (status === "Unknown") return "unknown";
  return (status === "True") === NEGATIVE.has(type) ? "rejected" : "up";
}

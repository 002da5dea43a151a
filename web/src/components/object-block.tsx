// A Kubernetes object: conditions, generations, last change, and the commands that show it.
import { createMemo, For, Show, type JSX } from "solid-js";
import { describeCommands } from "../lib/commands";
import type { ConditionDetail, Kind, ObjectInfo, ObjectKind, ProblemDetail } from "../sync/contract";
import type { DisplayState } from "../lib/display-state";
import { Age } from "./age";
import { Command } from "./command";
import { Shape } from "./shape";

// Conditions for which True is a problem.
const NEGATIVE = new Set(["Conflicted", "Degraded", "ProbePathSuspect", "RemovalHeld"]);

/** The block of an object. `programmed` is the progress of the nodes with its generation. */
export function ObjectBlock(props: {
  readonly kind: Kind | ObjectKind;
  readonly name: string;
  readonly info: ObjectInfo | undefined;
  readonly problems: readonly ProblemDetail[];
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
                <p class="dim">
                  No controller has written a status. Only the state that nodes report is available.
                </p>
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
      <For each={props.info?.kubectl ?? describeCommands(props.kind, props.name)}>
        {(text) => <Command text={text} label={`${props.kind} ${props.name}`} />}
      </For>
    </section>
  );
}

/** The problems of an object. */
export function Problems(props: { readonly problems: readonly ProblemDetail[] }): JSX.Element {
  return (
    <For each={props.problems}>
      {({ reason, field, message }) => (
        <p class="problem">
          <Shape state="rejected" /> <span class="strong">{reason}</span>{" "}
          <Show when={field}>
            <code>{field}</code>{" "}
          </Show>
          {message}
        </p>
      )}
    </For>
  );
}

// Conditions without a problem are on one line; each of the others has a line with its message.
function Conditions(props: {
  readonly conditions: ObjectInfo["conditions"];
  readonly generation: number;
}): JSX.Element {
  const types = createMemo(() => okFirst(props.conditions, props.generation));
  return (
    <ul class="conditions">
      <For each={types()}>
        {(type) => (
          <Show when={props.conditions[type]}>
            {(condition) => (
              <ConditionItem type={type} condition={condition()} generation={props.generation} />
            )}
          </Show>
        )}
      </For>
    </ul>
  );
}

function ConditionItem(props: {
  readonly type: string;
  readonly condition: ConditionDetail;
  readonly generation: number;
}): JSX.Element {
  const wrong = () => !isOk(props.type, props.condition, props.generation);
  return (
    <li
      classList={{ wrong: wrong() }}
      title={`${props.type} ${props.condition.status}, ${props.condition.reason}: ${props.condition.message}`}
    >
      <Shape state={conditionDisplayState(props.type, props.condition)} />{" "}
      <span class="strong">{props.type}</span>
      <span class="dim">
        {" "}
        {props.condition.status === "True" ? "" : props.condition.status}{" "}
        <Age since={props.condition.since} />
      </span>
      <Show when={wrong()}>
        {" "}
        <span class="strong">{props.condition.reason}</span> {props.condition.message}
        <Show when={isOutdated(props.condition, props.generation)}>
          <span class="dim"> as of generation {props.condition.generation}</span>
        </Show>
      </Show>
    </li>
  );
}

function okFirst(conditions: ObjectInfo["conditions"], generation: number): string[] {
  const types = Object.entries(conditions);
  const ok = types.filter(([type, condition]) => isOk(type, condition, generation));
  const wrong = types.filter(([type, condition]) => !isOk(type, condition, generation));
  return [...ok, ...wrong].map(([type]) => type);
}

function isOk(type: string, condition: ConditionDetail, generation: number): boolean {
  return conditionDisplayState(type, condition) === "up" && !isOutdated(condition, generation);
}

function isOutdated(condition: ConditionDetail, generation: number): boolean {
  return condition.generation !== undefined && condition.generation < generation;
}

function conditionDisplayState(type: string, { status }: ConditionDetail): DisplayState {
  if (status === "Unknown") return "unknown";
  return (status === "True") === NEGATIVE.has(type) ? "rejected" : "up";
}

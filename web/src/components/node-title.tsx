// The header of a node's tab: the agent, its state, and its problems.
import { createMemo, For, Show, type JSX } from "solid-js";
import { acceptRemovalsCommand, podCommands } from "../lib/commands";
import { fullTime, formatPacketRate } from "../lib/format";
import { nodeDisplayState, nodeProblems } from "../lib/node-problems";
import type { NodeHeader } from "../sync/contract";
import { zone } from "../store/preferences";
import { MAX_HEARTBEATS, tooManyHeartbeats } from "../store/visibility";
import { Age } from "./age";
import { Command } from "./command";
import { Shape } from "./shape";

export function NodeTitle(props: { readonly name: string; readonly head: NodeHeader }): JSX.Element {
  const problems = createMemo(() => nodeProblems(props.head));
  const state = () => nodeDisplayState(props.head);
  return (
    <section class="panel node-title" aria-label={`Node ${props.name}`}>
      <h2>
        <Shape state={state().state} /> {props.name}{" "}
        <span class={`is-${state().state}`}>{state().label}</span>
      </h2>
      <p class="dim facts">
        <span class="mono">{props.head.address}</span>
        <Show when={props.head.pod}>
          <span class="mono">{props.head.pod}</span>
        </Show>
        <Show when={props.head.version}>
          {(version) => (
            <span title={buildTooltip(props.head)}>
              maglevd {version()} {props.head.commit}
            </span>
          )}
        </Show>
        <Show when={props.head.started}>
          <span>
            up <Age since={props.head.started} />
          </span>
        </Show>
        <span>{formatPacketRate(props.head.rate)}</span>
        <Show when={tooManyHeartbeats()}>
          <span>no heartbeats: more than {MAX_HEARTBEATS} rows on screen</span>
        </Show>
      </p>
      <For each={problems()}>
        {({ shape, label, reason, since }) => (
          <p class="problem">
            <Shape state={shape} /> <span class="strong">{label}</span>{" "}
            <Show when={since}>
              for <Age since={since} />
            </Show>
            <Show when={reason}> – {reason}</Show>
          </p>
        )}
      </For>
      <details class="other">
        <summary>Commands</summary>
        <For each={podCommands(props.head.pod)}>{(text) => <Command text={text} />}</For>
        <For each={Object.keys(props.head.holds)}>
          {(hold) => (
            <Command
              text={acceptRemovalsCommand(hold)}
              label={`command that accepts the changes of hold ${hold}`}
            />
          )}
        </For>
      </details>
    </section>
  );
}

function buildTooltip({ build_date }: NodeHeader): string {
  return build_date === undefined ? "" : `built ${fullTime(Date.parse(build_date), zone())}`;
}

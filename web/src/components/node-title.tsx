// The head of a node's tab: what the agent is, how it is, and what is wrong with it.
import { createMemo, For, Show, type JSX } from "solid-js";
import { acceptCommand, podCommands } from "../lib/commands";
import { exact, rate } from "../lib/format";
import { nodeState, nodeTroubles } from "../lib/node-problems";
import type { NodeHead } from "../sync/contract";
import { zone } from "../store/preferences";
import { MOST_HEARTS, tooManyHearts } from "../store/visibility";
import { Age } from "./age";
import { Command } from "./command";
import { Shape } from "./shape";

/** The head. */
export function NodeTitle(props: { readonly name: string; readonly head: NodeHead }): JSX.Element {
  const troubles = createMemo(() => nodeTroubles(props.head));
  const state = () => nodeState(props.head);
  return (
    <section class="panel node-title" aria-label={`Node ${props.name}`}>
      <h2>
        <Shape of={state().state} /> {props.name} <span class={`is-${state().state}`}>{state().word}</span>
      </h2>
      <p class="dim facts">
        <span class="mono">{props.head.address}</span>
        <Show when={props.head.pod}>
          <span class="mono">{props.head.pod}</span>
        </Show>
        <Show when={props.head.version}>
          {(version) => (
            <span title={built(props.head)}>
              maglevd {version()} {props.head.commit}
            </span>
          )}
        </Show>
        <Show when={props.head.started}>
          <span>
            up <Age since={props.head.started} />
          </span>
        </Show>
        <span>{rate(props.head.rate)}</span>
        <Show when={tooManyHearts()}>
          <span>no heartbeats: more than {MOST_HEARTS} rows on screen</span>
        </Show>
      </p>
      <For each={troubles()}>
        {({ shape, word, why, since }) => (
          <p class="problem">
            <Shape of={shape} /> <span class="strong">{word}</span>{" "}
            <Show when={since}>
              for <Age since={since} />
            </Show>
            <Show when={why}> – {why}</Show>
          </p>
        )}
      </For>
      <details class="other">
        <summary>Commands</summary>
        <For each={podCommands(props.head.pod)}>{(text) => <Command text={text} />}</For>
        <For each={Object.keys(props.head.holds)}>
          {(hold) => (
            <Command text={acceptCommand(props.name, hold)} label={`command that ends hold ${hold}`} />
          )}
        </For>
      </details>
    </section>
  );
}

function built({ build_date }: NodeHead): string {
  return build_date === undefined ? "" : `built ${exact(Date.parse(build_date), zone())}`;
}

// The last transitions of all nodes, newest first, folded: one line for what happened on many nodes.
import { createMemo, For, Show, type JSX } from "solid-js";
import { newest } from "../lib/transitions";
import type { Summary, Transition } from "../sync/contract";
import { backendLink, frontendLink } from "../store/location";
import type { StateWord } from "../lib/display-state";
import { Age, Clock } from "./age";
import { State } from "./shape";

/** The list. */
export function Transitions(props: { readonly summary: Summary }): JSX.Element {
  const ids = createMemo(() => newest(props.summary.transitions));
  return (
    <section class="panel transitions" aria-label="Last transitions">
      <h2>Last transitions</h2>
      <Show when={ids().length > 0} fallback={<p class="dim none">None since the agents started.</p>}>
        <ol tabindex="0" aria-label="Last transitions, newest first">
          <For each={ids()}>
            {(id) => (
              <Show when={props.summary.transitions[id]}>
                {(of) => <Line of={of()} nodes={props.summary.totals.nodes} />}
              </Show>
            )}
          </For>
        </ol>
      </Show>
    </section>
  );
}

function Line(props: { readonly of: Transition; readonly nodes: number }): JSX.Element {
  const link = () =>
    props.of.kind === "Frontend" ? frontendLink(props.of.name, null) : backendLink(props.of.name);
  const where = () => {
    const { nodes } = props.of;
    return nodes.length === 1 ? (nodes[0] ?? "") : `${nodes.length} of ${props.nodes} nodes`;
  };
  return (
    <li>
      <span class="transition-time mono">
        <Clock at={props.of.at} />
      </span>
      <span class="transition-kind dim">{props.of.kind.toLowerCase()}</span>
      <a href={link()} class="transition-name clip" title={props.of.name}>
        {props.of.name}
      </a>
      <span class="transition-change">
        <span class="dim">{props.of.from ?? "new"} → </span>
        <State of={props.of.to as StateWord} /> <span class="mono dim">{props.of.code}</span>
      </span>
      <span class="transition-where dim clip" title={props.of.nodes.join(", ")}>
        {where()}
      </span>
      <span class="transition-age dim">
        <Age since={props.of.at} />
      </span>
    </li>
  );
}

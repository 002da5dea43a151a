// The latest transitions of all nodes, newest first, one line for a transition on many nodes.
import { createMemo, For, Show, type JSX } from "solid-js";
import { newestTransitions } from "../lib/transitions";
import type { Summary, TransitionDetail } from "../sync/contract";
import { backendLink, frontendLink } from "../store/location";
import { Age, Clock } from "./age";
import { StateLabel } from "./shape";

export function Transitions(props: { readonly summary: Summary }): JSX.Element {
  const ids = createMemo(() => newestTransitions(props.summary.transitions));
  return (
    <section class="panel transitions" aria-label="Latest transitions">
      <h2>Latest transitions</h2>
      <Show when={ids().length > 0} fallback={<p class="dim none">None since the agents started.</p>}>
        <ol tabindex="0" aria-label="Latest transitions, newest first">
          <For each={ids()}>
            {(id) => (
              <Show when={props.summary.transitions[id]}>
                {(transition) => (
                  <TransitionItem transition={transition()} nodes={props.summary.totals.nodes} />
                )}
              </Show>
            )}
          </For>
        </ol>
      </Show>
    </section>
  );
}

function TransitionItem(props: {
  readonly transition: TransitionDetail;
  readonly nodes: number;
}): JSX.Element {
  const link = () =>
    props.transition.kind === "Frontend"
      ? frontendLink(props.transition.name, null)
      : backendLink(props.transition.name);
  const nodeText = () => {
    const { nodes } = props.transition;
    return nodes.length === 1 ? (nodes[0] ?? "") : `${nodes.length} of ${props.nodes} nodes`;
  };
  return (
    <li>
      <span class="transition-time mono">
        <Clock at={props.transition.at} />
      </span>
      <span class="transition-kind dim">{props.transition.kind.toLowerCase()}</span>
      <a href={link()} class="transition-name clip" title={props.transition.name}>
        {props.transition.name}
      </a>
      <span class="transition-change">
        <span class="dim">{props.transition.from ?? "new"} → </span>
        <StateLabel state={props.transition.to} /> <span class="mono dim">{props.transition.code}</span>
      </span>
      <span class="transition-where dim clip" title={props.transition.nodes.join(", ")}>
        {nodeText()}
      </span>
      <span class="transition-age dim">
        <Age since={props.transition.at} />
      </span>
    </li>
  );
}

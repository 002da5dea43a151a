// What is wrong that is no frontend's: nodes that are silent or lost VPP, removals that wait, suspect probe paths, and
// objects with problems. Above the table, because it concerns many rows of it.
import { createMemo, createSignal, For, Show, type JSX } from "solid-js";
import { matchingNodes, matchingProblems, wordsOf } from "../lib/filter";
import { nodeTroubles } from "../lib/node-problems";
import type { StateWord } from "../lib/display-state";
import { acceptCommand, podCommands } from "../lib/commands";
import type { ObjectProblems, Summary } from "../sync/contract";
import { frontendLink, nodeLink, backendLink, place } from "../store/location";
import { Age } from "./age";
import { Command } from "./command";
import { ObjectBlock } from "./object-block";
import { Shape } from "./shape";

const MOST_OBJECTS = 5;

/** The list; nothing where nothing is wrong. */
export function Attention(props: { readonly summary: Summary }): JSX.Element {
  const words = () => wordsOf(place().query);
  const nodes = createMemo(() => matchingNodes(props.summary.nodes, words(), place().show));
  const objects = createMemo(() =>
    matchingProblems(props.summary.problems, props.summary.rows, words(), place().show),
  );
  // All of them where somebody asks for them, else the first few.
  const few = () => (place().show === "rejected" ? objects() : objects().slice(0, MOST_OBJECTS));
  return (
    <Show when={nodes().length + objects().length > 0}>
      <section class="panel attention" aria-label="Needs attention">
        <h2>Needs attention</h2>
        <For each={nodes()}>{(node) => <NodeTroubles node={node} summary={props.summary} />}</For>
        <For each={few()}>
          {(key) => <Show when={props.summary.problems[key]}>{(of) => <ObjectTrouble of={of()} />}</Show>}
        </For>
        <Show when={objects().length > few().length}>
          <p class="dim more">
            and {objects().length - few().length} more objects with problems: choose “rejected” above
          </p>
        </Show>
      </section>
    </Show>
  );
}

function NodeTroubles(props: { readonly node: string; readonly summary: Summary }): JSX.Element {
  const head = () => props.summary.nodes[props.node];
  const troubles = createMemo(() => {
    const of = head();
    return of ? nodeTroubles(of) : [];
  });
  const commands = () => [
    ...podCommands(head()?.pod ?? ""),
    ...Object.keys(head()?.holds ?? {}).map((hold) => acceptCommand(props.node, hold)),
  ];
  return (
    <Trouble
      shape={troubles()[0]?.shape ?? "rejected"}
      of={`node ${props.node}`}
      name={
        <>
          node <a href={nodeLink(props.node)}>{props.node}</a>
        </>
      }
      words={
        <For each={troubles()}>
          {({ word, why, since }) => (
            <span class="trouble-one">
              <span class="strong">{word}</span>
              <Show when={since}>
                {" for "}
                <Age since={since} />
              </Show>
              <Show when={why}> – {why}</Show>
            </span>
          )}
        </For>
      }
    >
      <For each={commands()}>{(text) => <Command text={text} />}</For>
    </Trouble>
  );
}

function ObjectTrouble(props: { readonly of: ObjectProblems }): JSX.Element {
  const link = () => {
    if (props.of.kind === "Frontend") return frontendLink(props.of.name, null);
    return props.of.kind === "Backend" ? backendLink(props.of.name) : undefined;
  };
  const where = () => (props.of.nodes.length === 1 ? props.of.nodes[0] : `${props.of.nodes.length} nodes`);
  return (
    <Trouble
      shape="rejected"
      of={`${props.of.kind} ${props.of.name}`}
      name={
        <>
          {props.of.kind}{" "}
          <Show when={link()} fallback={props.of.name}>
            {(href) => <a href={href()}>{props.of.name}</a>}
          </Show>
        </>
      }
      words={
        <>
          <span class="strong">{props.of.problems[0]?.reason}</span>
          <Show when={props.of.held}> (held)</Show> {props.of.problems[0]?.message}
          <span class="dim" title={props.of.nodes.join(", ")}>
            {" "}
            on {where()}
          </span>
        </>
      }
    >
      <ObjectBlock kind={props.of.kind} name={props.of.name} info={undefined} problems={props.of.problems} />
    </Trouble>
  );
}

// One line that says it all, and what one needs to go on when it is opened.
function Trouble(props: {
  readonly shape: StateWord;
  readonly of: string;
  readonly name: JSX.Element;
  readonly words: JSX.Element;
  readonly children: JSX.Element;
}): JSX.Element {
  const [open, setOpen] = createSignal(false);
  return (
    <div class="trouble">
      <div class="trouble-line">
        <button
          type="button"
          class="disclose"
          aria-expanded={open()}
          aria-label={`More about ${props.of}`}
          onClick={() => setOpen(!open())}
        />
        <Shape of={props.shape} />
        <span class="trouble-name">{props.name}</span>
        <span class="trouble-words">{props.words}</span>
      </div>
      <Show when={open()}>
        <div class="trouble-more">{props.children}</div>
      </Show>
    </div>
  );
}

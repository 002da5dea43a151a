// Problems that no frontend's row shows: silent nodes, lost VPPs, held removals, suspect probe paths, and objects with
// problems. Above the table, since each concerns many rows.
import { createMemo, createSignal, For, Show, type JSX } from "solid-js";
import { matchingNodes, matchingProblems, searchTerms } from "../lib/filter";
import { nodeProblems } from "../lib/node-problems";
import type { DisplayState } from "../lib/display-state";
import { acceptRemovalsCommand, podCommands } from "../lib/commands";
import type { ObjectProblems, Summary } from "../sync/contract";
import { frontendLink, nodeLink, backendLink, route } from "../store/location";
import { Age } from "./age";
import { Command } from "./command";
import { ObjectBlock } from "./object-block";
import { Shape } from "./shape";

const MAX_OBJECTS = 5;

/** The list; empty if there are no problems. */
export function Attention(props: { readonly summary: Summary }): JSX.Element {
  const description = () => searchTerms(route().query);
  const nodes = createMemo(() => matchingNodes(props.summary.nodes, description(), route().flag));
  const objects = createMemo(() =>
    matchingProblems(props.summary.problems, props.summary.rows, description(), route().flag),
  );
  // All objects if the filter selects them, otherwise the first few.
  const shownObjects = () => (route().flag === "rejected" ? objects() : objects().slice(0, MAX_OBJECTS));
  return (
    <Show when={nodes().length + objects().length > 0}>
      <section class="panel attention" aria-label="Needs attention">
        <h2>Needs attention</h2>
        <For each={nodes()}>{(node) => <NodeProblems node={node} summary={props.summary} />}</For>
        <For each={shownObjects()}>
          {(key) => (
            <Show when={props.summary.problems[key]}>{(head) => <ObjectProblemItem subject={head()} />}</Show>
          )}
        </For>
        <Show when={objects().length > shownObjects().length}>
          <p class="dim more">
            {objects().length - shownObjects().length} more objects with problems: select “rejected” above
          </p>
        </Show>
      </section>
    </Show>
  );
}

function NodeProblems(props: { readonly node: string; readonly summary: Summary }): JSX.Element {
  const head = () => props.summary.nodes[props.node];
  const problems = createMemo(() => {
    const object = head();
    return object ? nodeProblems(object) : [];
  });
  const commands = () => [
    ...podCommands(head()?.pod ?? ""),
    ...Object.keys(head()?.holds ?? {}).map((hold) => acceptRemovalsCommand(hold)),
  ];
  return (
    <ProblemItem
      shape={problems()[0]?.shape ?? "rejected"}
      label={`node ${props.node}`}
      name={
        <>
          node <a href={nodeLink(props.node)}>{props.node}</a>
        </>
      }
      terms={
        <For each={problems()}>
          {({ label, reason, since }) => (
            <span class="problem-entry">
              <span class="strong">{label}</span>
              <Show when={since}>
                {" for "}
                <Age since={since} />
              </Show>
              <Show when={reason}> – {reason}</Show>
            </span>
          )}
        </For>
      }
    >
      <For each={commands()}>{(text) => <Command text={text} />}</For>
    </ProblemItem>
  );
}

function ObjectProblemItem(props: { readonly subject: ObjectProblems }): JSX.Element {
  const link = () => {
    if (props.subject.kind === "Frontend") return frontendLink(props.subject.name, null);
    return props.subject.kind === "Backend" ? backendLink(props.subject.name) : undefined;
  };
  const nodeNames = () =>
    props.subject.nodes.length === 1 ? props.subject.nodes[0] : `${props.subject.nodes.length} nodes`;
  return (
    <ProblemItem
      shape="rejected"
      label={`${props.subject.kind} ${props.subject.name}`}
      name={
        <>
          {props.subject.kind}{" "}
          <Show when={link()} fallback={props.subject.name}>
            {(href) => <a href={href()}>{props.subject.name}</a>}
          </Show>
        </>
      }
      terms={
        <>
          <span class="strong">{props.subject.problems[0]?.reason}</span>
          <Show when={props.subject.held}> (held)</Show> {props.subject.problems[0]?.message}
          <span class="dim" title={props.subject.nodes.join(", ")}>
            {" "}
            on {nodeNames()}
          </span>
        </>
      }
    >
      <ObjectBlock
        kind={props.subject.kind}
        name={props.subject.name}
        info={undefined}
        problems={props.subject.problems}
      />
    </ProblemItem>
  );
}

// One line, and commands and details when it is opened.
function ProblemItem(props: {
  readonly shape: DisplayState;
  readonly label: string;
  readonly name: JSX.Element;
  readonly terms: JSX.Element;
  readonly children: JSX.Element;
}): JSX.Element {
  const [open, setOpen] = createSignal(false);
  return (
    <div class="problem-item">
      <div class="problem-line">
        <button
          type="button"
          class="disclose"
          aria-expanded={open()}
          aria-label={`More about ${props.label}`}
          onClick={() => setOpen(!open())}
        />
        <Shape state={props.shape} />
        <span class="problem-name">{props.name}</span>
        <span class="problem-text">{props.terms}</span>
      </div>
      <Show when={open()}>
        <div class="problem-more">{props.children}</div>
      </Show>
    </div>
  );
}

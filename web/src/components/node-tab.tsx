// A node's tab: its frontends as cards, its events, its VPP.
import { createEffect, createMemo, For, onCleanup, Show, type JSX } from "solid-js";
import { byName } from "../lib/row-order";
import { said } from "../lib/pools";
import { matchingDetails } from "../lib/card-filter";
import { wordsOf } from "../lib/filter";
import { sameWidths, setWidths, widthsOf } from "../lib/column-widths";
import type { NodeHead, NodeState } from "../sync/contract";
import { node as nodeDocument, summary } from "../store/server-state";
import { place, search } from "../store/location";
import { setCards } from "../store/subscription";
import { Loading, LoadingLine, NothingMatches } from "./placeholders";
import { EventsPanel } from "./events-panel";
import { FilterBox } from "./filter-box";
import { FrontendCard } from "./frontend-card";
import { NodeTitle } from "./node-title";
import { Rows } from "./virtual-list";
import { State } from "./shape";
import { VppBlock } from "./vpp-block";

// With so many cards or fewer all are open; on a phone they would be a long way to the events below.
const MOST_OPEN_CARDS = 12;
const MOST_ON_PHONE = 2;
const phone = matchMedia("(max-width: 720px)");

/** The tab. */
export function NodeTab(props: { readonly name: string }): JSX.Element {
  const head = () => summary().value?.nodes[props.name];
  return (
    <Show when={summary().value} fallback={<Loading of={summary()} />}>
      <Show when={head()} fallback={<GoneNode name={props.name} />}>
        {(head) => (
          <>
            <NodeTitle name={props.name} head={head()} />
            <FilterBox hint="name, address, backend, state…" />
            <Show
              when={nodeDocument().value}
              fallback={<LoadingLine of={nodeDocument()} what={`state of ${props.name}`} />}
            >
              {(state) => <Parts head={head()} state={state()} />}
            </Show>
          </>
        )}
      </Show>
    </Show>
  );
}

function Parts(props: { readonly head: NodeHead; readonly state: NodeState }): JSX.Element {
  return (
    <div class="node-parts" classList={{ stale: !props.head.reporting }}>
      <Cards state={props.state} />
      <div class="node-side">
        <EventsPanel node={props.state.node} />
        <VppBlock head={props.head} state={props.state} />
      </div>
    </div>
  );
}

function Cards(props: { readonly state: NodeState }): JSX.Element {
  const all = createMemo(() => Object.keys(props.state.frontends).sort(byName), [], { equals: sameNames });
  const names = createMemo(() => matchingDetails(props.state, all(), wordsOf(place().query)), [], {
    equals: sameNames,
  });
  const widths = createMemo(() => widthsOf(props.state.frontends), undefined, { equals: sameWidths });
  const few = () => all().length <= (phone.matches ? MOST_ON_PHONE : MOST_OPEN_CARDS);
  const isOpen = (name: string) => few() || place().open.includes(name);
  createEffect(() => setCards(few() ? all() : []));
  onCleanup(() => setCards([]));
  return (
    <section
      class="cards"
      aria-label="Frontends"
      ref={(element) => createEffect(() => setWidths(element, widths()))}
    >
      <Show when={few()} fallback={<ManyCards state={props.state} names={names()} isOpen={isOpen} />}>
        <For each={names()}>
          {(name) => (
            <Show when={props.state.frontends[name]}>
              {(frontend) => (
                <div data-name={name}>
                  <FrontendCard state={props.state} name={name} frontend={frontend()} open fixed />
                </div>
              )}
            </Show>
          )}
        </For>
      </Show>
      <Show when={names().length === 0 && all().length > 0}>
        <NothingMatches total={all().length} />
      </Show>
      <Show when={all().length === 0}>
        <p class="dim none">This node has no frontends.</p>
      </Show>
    </section>
  );
}

function ManyCards(props: {
  readonly state: NodeState;
  readonly names: readonly string[];
  readonly isOpen: (name: string) => boolean;
}): JSX.Element {
  return (
    <>
      <StateTally state={props.state} />
      <div role="table" aria-label="Frontends" aria-rowcount={props.names.length}>
        <Rows names={props.names} isOpen={(name) => props.isOpen(name)}>
          {({ name }) => (
            <Show when={props.state.frontends[name]}>
              {(frontend) => (
                <FrontendCard
                  state={props.state}
                  name={name}
                  frontend={frontend()}
                  open={props.isOpen(name)}
                  fixed={false}
                />
              )}
            </Show>
          )}
        </Rows>
      </div>
    </>
  );
}

// How many are in which state; each is a filter, for among a thousand none is seen by scrolling.
function StateTally(props: { readonly state: NodeState }): JSX.Element {
  const counts = createMemo(() =>
    said(Object.entries(props.state.frontends).map(([name, { state }]) => [name, state])),
  );
  return (
    <div class="choice tallies" role="group" aria-label="Frontends by state; each filters">
      <For each={counts()}>
        {({ value, nodes }) => (
          <button
            type="button"
            class="small"
            aria-pressed={place().query === value}
            onClick={() => search(place().query === value ? "" : value)}
          >
            {nodes.length} <State of={value} />
          </button>
        )}
      </For>
    </div>
  );
}

function GoneNode(props: { readonly name: string }): JSX.Element {
  return (
    <div class="empty">
      <p class="empty-title">No node {props.name}.</p>
      <p>
        No maglevd of that node is known. <a href="#/">All nodes</a>
      </p>
    </div>
  );
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, index) => name === b[index]);
}

// A node's tab: its frontends as cards, its events, its VPP.
import { createEffect, createMemo, For, onCleanup, Show, type JSX } from "solid-js";
import { byName } from "../lib/row-order";
import { groupByValue } from "../lib/pools";
import { matchingFrontends } from "../lib/card-filter";
import { searchTerms } from "../lib/filter";
import { equalWidths, applyWidths, columnWidths } from "../lib/column-widths";
import type { NodeHeader, NodePage } from "../sync/contract";
import { node as nodeDocument, summary } from "../store/server-state";
import { route, setQuery } from "../store/location";
import { setOpenCards } from "../store/subscription";
import { LoadingPage, LoadingLine, NothingMatches } from "./placeholders";
import { EventsPanel } from "./events-panel";
import { FilterBox } from "./filter-box";
import { FrontendCard } from "./frontend-card";
import { NodeTitle } from "./node-title";
import { VirtualList } from "./virtual-list";
import { StateLabel } from "./shape";
import { VppBlock } from "./vpp-block";

// Up to this number all cards are open. On a phone fewer, since the events are below the cards.
const MAX_OPEN_CARDS = 12;
const MAX_OPEN_CARDS_PHONE = 2;
const phoneQuery = matchMedia("(max-width: 720px)");

export function NodeTab(props: { readonly name: string }): JSX.Element {
  const head = () => summary().value?.nodes[props.name];
  return (
    <Show when={summary().value} fallback={<LoadingPage document={summary()} />}>
      <Show when={head()} fallback={<UnknownNode name={props.name} />}>
        {(head) => (
          <>
            <NodeTitle name={props.name} head={head()} />
            <FilterBox hint="name, address, backend, state…" />
            <Show
              when={nodeDocument().value}
              fallback={<LoadingLine document={nodeDocument()} subject={`state of ${props.name}`} />}
            >
              {(state) => <NodeParts head={head()} state={state()} />}
            </Show>
          </>
        )}
      </Show>
    </Show>
  );
}

function NodeParts(props: { readonly head: NodeHeader; readonly state: NodePage }): JSX.Element {
  return (
    <div class="node-parts" classList={{ stale: !props.head.reporting }}>
      <FrontendCards state={props.state} />
      <div class="node-side">
        <EventsPanel node={props.state.node} />
        <VppBlock head={props.head} state={props.state} />
      </div>
    </div>
  );
}

function FrontendCards(props: { readonly state: NodePage }): JSX.Element {
  const all = createMemo(() => Object.keys(props.state.frontends).sort(byName), [], { equals: sameNames });
  const names = createMemo(() => matchingFrontends(props.state, all(), searchTerms(route().query)), [], {
    equals: sameNames,
  });
  const widths = createMemo(() => columnWidths(props.state.frontends), undefined, { equals: equalWidths });
  const allOpen = () => all().length <= (phoneQuery.matches ? MAX_OPEN_CARDS_PHONE : MAX_OPEN_CARDS);
  const isOpen = (name: string) => allOpen() || route().open.includes(name);
  createEffect(() => setOpenCards(allOpen() ? all() : []));
  onCleanup(() => setOpenCards([]));
  return (
    <section
      class="cards"
      aria-label="Frontends"
      ref={(element) => createEffect(() => applyWidths(element, widths()))}
    >
      <Show
        when={allOpen()}
        fallback={<CollapsibleCards state={props.state} names={names()} isOpen={isOpen} />}
      >
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

function CollapsibleCards(props: {
  readonly state: NodePage;
  readonly names: readonly string[];
  readonly isOpen: (name: string) => boolean;
}): JSX.Element {
  return (
    <>
      <StateFilters state={props.state} />
      <div role="table" aria-label="Frontends" aria-rowcount={props.names.length}>
        <VirtualList names={props.names} isOpen={(name) => props.isOpen(name)}>
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
        </VirtualList>
      </div>
    </>
  );
}

// Counts of frontends by state. Each is a filter, since a thousand cards are too many to scroll through.
function StateFilters(props: { readonly state: NodePage }): JSX.Element {
  const counts = createMemo(() =>
    groupByValue(Object.entries(props.state.frontends).map(([name, { state }]) => [name, state])),
  );
  return (
    <div class="choice tallies" role="group" aria-label="Filter frontends by state">
      <For each={counts()}>
        {({ value, nodes }) => (
          <button
            type="button"
            class="small"
            aria-pressed={route().query === value}
            onClick={() => setQuery(route().query === value ? "" : value)}
          >
            {nodes.length} <StateLabel state={value} />
          </button>
        )}
      </For>
    </div>
  );
}

function UnknownNode(props: { readonly name: string }): JSX.Element {
  return (
    <div class="empty">
      <p class="empty-title">No node {props.name}.</p>
      <p>
        No maglevd reports from a node of this name. <a href="#/">All nodes</a>
      </p>
    </div>
  );
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, index) => name === b[index]);
}

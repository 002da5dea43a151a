// The table of all frontends: problems first, with an order that is frozen under the pointer and the focus. Rows open
// in place.
import { createMemo, createEffect, on, Show, type JSX } from "solid-js";
import { matchingRows, searchTerms } from "../lib/filter";
import { stableOrder, sortRows } from "../lib/row-order";
import { equalWidths, applyWidths, columnWidths } from "../lib/column-widths";
import type { Summary } from "../sync/contract";
import { revealRow } from "../store/cursor";
import { createOrderFreeze } from "../store/order-freeze";
import { backendIndex } from "../store/backend-index";
import { route, toggleFrontendRow } from "../store/location";
import { FrontendDetails } from "./frontend-details";
import { FrontendRow } from "./frontend-row";
import { NothingMatches } from "./placeholders";
import { VirtualList } from "./virtual-list";

export function FrontendTable(props: { readonly summary: Summary }): JSX.Element {
  const freeze = createOrderFreeze();
  const filterKey = () => `${route().query} ${route().flag ?? ""}`;
  const desiredNames = createMemo(() => {
    const names = matchingRows(
      props.summary.rows,
      searchTerms(route().query),
      route().flag,
      backendIndex().searchTexts,
    );
    return sortRows(props.summary.rows, names);
  });
  // A new filter has precedence over the freeze.
  const shown = createMemo<{ filterKey: string; names: readonly string[] }>(
    (before) => ({
      filterKey: filterKey(),
      names: stableOrder(before.names, desiredNames(), freeze.frozen() && before.filterKey === filterKey()),
    }),
    { filterKey: "", names: [] },
  );
  const names = createMemo(() => shown().names);
  const isOpen = (name: string) => route().open.includes(name);
  const orderHeld = () => freeze.frozen() && stableOrder(names(), desiredNames(), false) !== names();
  const widths = createMemo(() => columnWidths(props.summary.rows), undefined, { equals: equalWidths });
  const nodes = createMemo(() => Math.min(Math.max(Object.keys(props.summary.nodes).length, 3), 16));

  // An address that opens a frontend scrolls to its row.
  createEffect(
    on(
      () => route().open.at(-1),
      (name, before) => {
        if (name !== undefined && before === undefined && !document.activeElement?.closest(".rows"))
          revealRow(name);
      },
    ),
  );

  return (
    <section class="panel table" aria-label="Frontends" ref={(element) => freeze.attach(element)}>
      <div
        class="table-body"
        role="table"
        aria-label="Frontends"
        aria-rowcount={names().length + 1}
        ref={(element) => {
          createEffect(() => applyWidths(element, widths()));
          createEffect(() => element.style.setProperty("--count-nodes", String(nodes())));
        }}
      >
        <div role="rowgroup" class="table-head">
          <div class="table-row head" role="row" aria-rowindex={1}>
            <span role="columnheader" class="col-name">
              Frontend
            </span>
            <span role="columnheader" class="col-vip">
              VIP
            </span>
            <span role="columnheader" class="col-cells">
              Nodes
            </span>
            <span role="columnheader" class="col-backends">
              Backends
            </span>
            <span role="columnheader" class="col-rate">
              Rate
            </span>
            <span role="columnheader" class="col-since">
              Since
            </span>
            <span role="columnheader" class="col-reason">
              Reason
              <Show when={orderHeld()}>
                <span class="hint"> · order held while the pointer or focus is here</span>
              </Show>
            </span>
          </div>
        </div>
        <VirtualList names={names()} isOpen={isOpen}>
          {({ name, index }) => (
            <Show when={props.summary.rows[name]} fallback={<DeletedRow name={name} />}>
              {(row) => (
                <>
                  <FrontendRow
                    name={name}
                    index={index()}
                    row={row()}
                    nodes={props.summary.nodes}
                    open={isOpen(name)}
                    onToggle={() => toggleFrontendRow(name)}
                  />
                  <Show when={isOpen(name)}>
                    <FrontendDetails name={name} summary={props.summary} />
                  </Show>
                </>
              )}
            </Show>
          )}
        </VirtualList>
      </div>
      <Show when={names().length === 0}>
        <NothingMatches total={Object.keys(props.summary.rows).length} />
      </Show>
    </section>
  );
}

// A deleted frontend keeps its row until the order is no longer frozen.
function DeletedRow(props: { readonly name: string }): JSX.Element {
  return (
    <div class="table-row deleted" role="row">
      <span class="col-name dim" role="cell">
        {props.name} was deleted
      </span>
    </div>
  );
}

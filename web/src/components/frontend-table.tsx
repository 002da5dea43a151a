// The table of all frontends: problems first, in an order that freezes under pointer and focus; rows open in place.
import { createMemo, createEffect, on, Show, type JSX } from "solid-js";
import { matching, wordsOf } from "../lib/filter";
import { ordered, sorted } from "../lib/row-order";
import { sameWidths, setWidths, widthsOf } from "../lib/column-widths";
import type { Summary } from "../sync/contract";
import { reveal } from "../store/cursor";
import { createFreeze } from "../store/order-freeze";
import { members } from "../store/backend-index";
import { place, toggle } from "../store/location";
import { FrontendDetails } from "./frontend-details";
import { FrontendRow } from "./frontend-row";
import { NothingMatches } from "./placeholders";
import { Rows } from "./virtual-list";

/** The table. */
export function FrontendTable(props: { readonly summary: Summary }): JSX.Element {
  const freeze = createFreeze();
  const asked = () => `${place().query} ${place().show ?? ""}`;
  const wanted = createMemo(() => {
    const names = matching(props.summary.rows, wordsOf(place().query), place().show, members().texts);
    return sorted(props.summary.rows, names);
  });
  // What the person filters by wins over the freeze.
  const shown = createMemo<{ asked: string; names: readonly string[] }>(
    (before) => ({
      asked: asked(),
      names: ordered(before.names, wanted(), freeze.frozen() && before.asked === asked()),
    }),
    { asked: "", names: [] },
  );
  const names = createMemo(() => shown().names);
  const isOpen = (name: string) => place().open.includes(name);
  const held = () => freeze.frozen() && ordered(names(), wanted(), false) !== names();
  const widths = createMemo(() => widthsOf(props.summary.rows), undefined, { equals: sameWidths });
  const nodes = createMemo(() => Math.min(Math.max(Object.keys(props.summary.nodes).length, 3), 16));

  // An address that opens a frontend leads to its row.
  createEffect(
    on(
      () => place().open.at(-1),
      (name, before) => {
        if (name !== undefined && before === undefined && !document.activeElement?.closest(".rows"))
          reveal(name);
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
          createEffect(() => setWidths(element, widths()));
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
              <Show when={held()}>
                <span class="hint"> · order held while you are here</span>
              </Show>
            </span>
          </div>
        </div>
        <Rows names={names()} isOpen={isOpen}>
          {({ name, index }) => (
            <Show when={props.summary.rows[name]} fallback={<Gone name={name} />}>
              {(row) => (
                <>
                  <FrontendRow
                    name={name}
                    index={index()}
                    row={row()}
                    nodes={props.summary.nodes}
                    open={isOpen(name)}
                    onToggle={() => toggle(name)}
                  />
                  <Show when={isOpen(name)}>
                    <FrontendDetails name={name} summary={props.summary} />
                  </Show>
                </>
              )}
            </Show>
          )}
        </Rows>
      </div>
      <Show when={names().length === 0}>
        <NothingMatches total={Object.keys(props.summary.rows).length} />
      </Show>
    </section>
  );
}

// Deleted while somebody looks at it: the row stays until the order may change.
function Gone(props: { readonly name: string }): JSX.Element {
  return (
    <div class="table-row gone" role="row">
      <span class="col-name dim" role="cell">
        {props.name} is deleted
      </span>
    </div>
  );
}

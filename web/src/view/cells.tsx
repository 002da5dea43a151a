// A frontend's cells, one per node: shape and colour of its state there, the word in the tooltip, and in words beside
// them what is not alike. Above sixteen nodes counts take their place.
import { createMemo, For, Show, type JSX } from "solid-js";
import { cellsOf, tally, type Cell } from "../fold/cells";
import type { Named, NodeHead } from "../live/contract";
import { Shape } from "./shape";

const MOST_CELLS = 16;

/** The cells of one row. */
export function Cells(props: {
  readonly cells: Named<string>;
  readonly nodes: Named<NodeHead>;
}): JSX.Element {
  const cells = createMemo(() => cellsOf(props.cells, props.nodes), [], { equals: sameCells });
  const summary = () =>
    tally(cells())
      .map(({ count, word }) => `${count} ${word}`)
      .join(", ");
  return (
    <span class="cells" role="img" aria-label={summary()}>
      <Show when={cells().length <= MOST_CELLS} fallback={<Tally cells={cells()} />}>
        <For each={cells()}>
          {(cell) => (
            <span class="cell" classList={{ stale: cell.stale }} title={`${cell.node}: ${cell.word}`}>
              <Shape of={cell.state} />
            </span>
          )}
        </For>
      </Show>
    </span>
  );
}

function Tally(props: { readonly cells: readonly Cell[] }): JSX.Element {
  return (
    <For each={tally(props.cells)}>
      {({ count, state, word }) => (
        <span class={`tally is-${state}`} title={`${count} ${word}`}>
          <Shape of={state} /> {count}
        </span>
      )}
    </For>
  );
}

function sameCells(a: readonly Cell[], b: readonly Cell[]): boolean {
  return (
    a.length === b.length &&
    a.every((cell, index) => {
      const other = b[index];
      return cell.node === other?.node && cell.word === other.word;
    })
  );
}

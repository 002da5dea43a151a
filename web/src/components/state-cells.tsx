// A frontend's cells, one per node: shape and colour of its state there, the word in the tooltip, and in words beside
// them what is not alike. Above sixteen nodes counts take their place.
import { createMemo, For, Show, type JSX } from "solid-js";
import { cellsOf, tally, type Cell } from "../lib/cells";
import type { Named, NodeHead } from "../sync/contract";
import { PATHS, Shape } from "./shape";

const MOST_CELLS = 16;
// One drawing for all cells of a row: a thousand rows are scrolled through, and every element costs.
const CELL = 17;
const SIZE = 12;

/** The cells of one row. */
export function Cells(props: {
  readonly cells: Named<string>;
  readonly nodes: Named<NodeHead>;
}): JSX.Element {
  const cells = createMemo(() => cellsOf(props.cells, props.nodes), [], { equals: sameCells });
  const counted = () =>
    tally(cells())
      .map(({ count, word }) => `${count} ${word}`)
      .join(", ");
  const named = () =>
    cells()
      .map(({ node, word }) => `${node}: ${word}`)
      .join("\n");
  return (
    <span class="cells" role="img" aria-label={counted()} title={named()}>
      <Show when={cells().length <= MOST_CELLS} fallback={<Tally cells={cells()} />}>
        <svg width={cells().length * CELL} height={SIZE}>
          <For each={cells()}>{(cell, index) => <CellPath of={cell} x={index() * CELL} />}</For>
        </svg>
      </Show>
    </span>
  );
}

// A node that does not report is hatched, its last state faint upon it.
function CellPath(props: { readonly of: Cell; readonly x: number }): JSX.Element {
  return (
    <>
      <Show when={props.of.stale}>
        <path class="cell-stale" d={PATHS.stale} transform={`translate(${props.x})`} />
      </Show>
      <path
        class={`is-${props.of.state}`}
        classList={{ faint: props.of.stale }}
        d={PATHS[props.of.state]}
        fill-rule="evenodd"
        transform={`translate(${props.x})`}
      />
    </>
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

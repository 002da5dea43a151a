// A frontend's cells, one per node: shape and colour of its state there, the word in the tooltip, and in words beside
// them what is not alike. Above sixteen nodes counts take their place.
import { createMemo, For, Show, type JSX } from "solid-js";
import { parseCells, countStates, type Cell } from "../lib/cells";
import type { Named, NodeHead } from "../sync/contract";
import { PATHS, Shape } from "./shape";

const MAX_CELLS = 16;
// One drawing for all cells of a row: a thousand rows are scrolled through, and every element costs.
const CELL = 17;
const SIZE = 12;

/** The cells of one row. */
export function StateCells(props: {
  readonly cells: Named<string>;
  readonly nodes: Named<NodeHead>;
}): JSX.Element {
  const cells = createMemo(() => parseCells(props.cells, props.nodes), [], { equals: sameCells });
  const countsLabel = () =>
    countStates(cells())
      .map(({ count, label }) => `${count} ${label}`)
      .join(", ");
  const tooltip = () =>
    cells()
      .map(({ node, label }) => `${node}: ${label}`)
      .join("\n");
  return (
    <span class="cells" role="img" aria-label={countsLabel()} title={tooltip()}>
      <Show when={cells().length <= MAX_CELLS} fallback={<StateCounts cells={cells()} />}>
        <svg width={cells().length * CELL} height={SIZE}>
          <For each={cells()}>{(cell, index) => <CellPath cell={cell} x={index() * CELL} />}</For>
        </svg>
      </Show>
    </span>
  );
}

// A node that does not report is hatched, its last state faint upon it.
function CellPath(props: { readonly cell: Cell; readonly x: number }): JSX.Element {
  return (
    <>
      <Show when={props.cell.stale}>
        <path class="cell-stale" d={PATHS.stale} transform={`translate(${props.x})`} />
      </Show>
      <path
        class={`is-${props.cell.state}`}
        classList={{ faint: props.cell.stale }}
        d={PATHS[props.cell.state]}
        fill-rule="evenodd"
        transform={`translate(${props.x})`}
      />
    </>
  );
}

function StateCounts(props: { readonly cells: readonly Cell[] }): JSX.Element {
  return (
    <For each={countStates(props.cells)}>
      {({ count, state, label }) => (
        <span class={`tally is-${state}`} title={`${count} ${label}`}>
          <Shape state={state} /> {count}
        </span>
      )}
    </For>
  );
}

function sameCells(a: readonly Cell[], b: readonly Cell[]): boolean {
  return (
    a.length === b.length &&
    a.every((cell, index) => {
      const counterpart = b[index];
      return cell.node === counterpart?.node && cell.label === counterpart.label;
    })
  );
}

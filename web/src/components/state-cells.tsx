// The cells of a frontend's row, one per node: shape and colour of the state, with the label in the tooltip. Counts
// replace them above sixteen nodes.
import { createMemo, For, Show, type JSX } from "solid-js";
import { parseCells, countStates, type Cell } from "../lib/cells";
import type { Named, NodeHeader } from "../sync/contract";
import { PATHS, Shape } from "./shape";

const MAX_CELLS = 16;
// One drawing for all cells of a row, since every element costs while a thousand rows are scrolled.
const CELL = 17;
const SIZE = 12;

export function StateCells(props: {
  readonly cells: Named<string>;
  readonly nodes: Named<NodeHeader>;
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

// A node that does not report is hatched, with its last state faint on top.
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

// The row of a frontend in the table of all nodes.
import { Show, type JSX } from "solid-js";
import { fullTime, formatPacketRate } from "../lib/format";
import { formatVip } from "../lib/vip";
import { rowDisplayState } from "../lib/display-state";
import type { Named, NodeHeader, Row } from "../sync/contract";
import { zone } from "../store/preferences";
import { Age } from "./age";
import { StateCells } from "./state-cells";
import { Flash } from "./flash";
import { Shape } from "./shape";

/** The row. Its columns are those of `.table-row`. */
export function FrontendRow(props: {
  readonly name: string;
  readonly index: number;
  readonly row: Row;
  readonly nodes: Named<NodeHeader>;
  readonly open: boolean;
  readonly onToggle: () => void;
}): JSX.Element {
  const displayState = () => rowDisplayState(props.row.state);
  return (
    <div
      class={`table-row is-${displayState()}`}
      classList={{ wrong: props.row.rank > 0, open: props.open }}
      role="row"
      aria-rowindex={props.index + 2}
      onClick={(event) => {
        if (!isInteractive(event)) props.onToggle();
      }}
    >
      <span class="col-name" role="cell">
        <button
          type="button"
          class="row-open"
          data-focus
          aria-expanded={props.open}
          onClick={() => props.onToggle()}
        >
          <Shape state={displayState()} />
          <span class="clip" title={props.name}>
            {props.name}
          </span>
        </button>
      </span>
      <span class="col-vip mono" role="cell">
        {formatVip(props.row.vip)}
      </span>
      <span class="col-cells" role="cell">
        <StateCells cells={props.row.cells} nodes={props.nodes} />
      </span>
      <span class="col-backends" role="cell">
        <Flash value={`${props.row.up} ${props.row.state}`} class="pad">
          <span classList={{ "is-standby": props.row.flags.includes("backends_down") }}>
            {props.row.up}/{props.row.total}
          </span>{" "}
          <span class={`word is-${displayState()}`}>{props.row.state}</span>
        </Flash>
      </span>
      <span class="col-rate" role="cell">
        <RateCell row={props.row} />
      </span>
      <span class="col-since" role="cell">
        <Age since={props.row.since} />
      </span>
      <span class="col-reason" role="cell">
        <span class="clip" title={props.row.reason}>
          {props.row.reason}
        </span>
      </span>
    </div>
  );
}

function RateCell(props: { readonly row: Row }): JSX.Element {
  return (
    <Show when={props.row.dropping > 0} fallback={formatPacketRate(props.row.rate)}>
      <span
        class="is-dropping"
        title={`${formatPacketRate(props.row.rate)} in total at ${fullTime(Date.now(), zone())}`}
      >
        <Shape state="dropping" /> {formatPacketRate(props.row.dropping)} dropped
      </span>
    </Show>
  );
}

// Clicks on links, buttons and selected text do not toggle the row.
function isInteractive(event: MouseEvent): boolean {
  const target = event.target instanceof Element ? event.target : null;
  return target?.closest("a,button,input,code") != null || (getSelection()?.toString() ?? "") !== "";
}

// Cells of a backend's traffic: packets per second, and the tracked flows as an upper bound.
import { Show, type JSX } from "solid-js";
import { compactNumber, formatPacketRate } from "../lib/format";
import type { MemberTraffic } from "../sync/contract";

const FLOWS_TOOLTIP =
  "Tracked flows, at most: VPP counts an expired flow until its entry in the sticky table is reused";

export function TrafficHeads(): JSX.Element {
  return (
    <>
      <th scope="col" class="number from-start">
        Rate
      </th>
      <th scope="col" class="number from-start" title={FLOWS_TOOLTIP}>
        Flows
      </th>
    </>
  );
}

export function TrafficCells(props: {
  readonly traffic: MemberTraffic | undefined;
  readonly flows: number | undefined;
}): JSX.Element {
  return (
    <>
      <td class="number from-start" data-label="Rate">
        <Show when={props.traffic} fallback="–">
          {(traffic) => (
            <>
              <span title={totals(traffic())}>{formatPacketRate(traffic().packets.rate)}</span>
              <Show when={traffic().vips > 1}>
                <span
                  class="dim"
                  title={`${traffic().vips} VIPs have this address. VPP counts their traffic together.`}
                >
                  {" "}
                  shared
                </span>
              </Show>
            </>
          )}
        </Show>
      </td>
      <td class="number from-start" data-label="Flows" title={FLOWS_TOOLTIP}>
        <Show when={props.flows !== undefined} fallback="–">
          <span>{props.flows === 0 ? "0" : `≤ ${compactNumber(props.flows ?? 0)}`}</span>
        </Show>
      </td>
    </>
  );
}

function totals({ packets, bytes }: MemberTraffic): string {
  return `${compactNumber(packets.total)} packets, ${compactNumber(bytes.total)}B since the agent started`;
}

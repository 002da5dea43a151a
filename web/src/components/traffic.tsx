// A frontend's traffic: packets per second by VPP's handling, and a chart of the last five minutes.
import { createMemo, For, Show, type JSX } from "solid-js";
import { formatBitRate, formatPacketRate, compactNumber } from "../lib/format";
import { PACKET_KINDS, linePath, type Sample } from "../lib/traffic";
import { describeImbalance, formatRatio, type Imbalance } from "../lib/imbalance";
import type { Counters } from "../sync/contract";

const WIDTH = 300;
const HEIGHT = 40;

export function Traffic(props: {
  readonly counters: Counters | undefined;
  readonly samples: readonly Sample[];
  readonly imbalance: Imbalance;
}): JSX.Element {
  return (
    <section class="block traffic" aria-label="Traffic">
      <h4>Traffic</h4>
      <Show when={props.counters} fallback={<p class="dim">VPP does not report counters for this VIP.</p>}>
        {(counters) => (
          <>
            <RateChart samples={props.samples} />
            <table class="plain numbers">
              <tbody>
                <For each={PACKET_KINDS}>
                  {([kind, label, meaning]) => (
                    <Show when={counters()[kind]}>
                      {(count) => (
                        <tr
                          title={meaning}
                          classList={{ "is-dropping": kind === "no_server" && count().rate > 0 }}
                        >
                          <th scope="row">{label}</th>
                          <td>{formatPacketRate(count().rate)}</td>
                          <td class="dim" title={`${count().total} since VPP added the VIP`}>
                            {compactNumber(count().total)}
                          </td>
                        </tr>
                      )}
                    </Show>
                  )}
                </For>
                <Show when={counters().route}>
                  {(route) => (
                    <tr title="packets on the route to the VIP's address, shared by all VIPs of that address">
                      <th scope="row">route</th>
                      <td>{formatPacketRate(route().packets.rate)}</td>
                      <td class="dim">{formatBitRate(route().bytes.rate)}</td>
                    </tr>
                  )}
                </Show>
              </tbody>
            </table>
            <ImbalanceLine imbalance={props.imbalance} />
          </>
        )}
      </Show>
    </section>
  );
}

function ImbalanceLine(props: { readonly imbalance: Imbalance }): JSX.Element {
  const measured = () => ("ratio" in props.imbalance ? props.imbalance : undefined);
  return (
    <p title="The largest share of the packets that a server carries, divided by its share of the buckets">
      Imbalance{" "}
      <Show when={measured()} fallback={<span class="dim">unknown: {reasonOf(props.imbalance)}</span>}>
        {(measured) => (
          <>
            <span class="strong">{formatRatio(measured().ratio)}</span>{" "}
            <span class="dim">{describeImbalance(measured())}</span>
          </>
        )}
      </Show>
    </p>
  );
}

function reasonOf(imbalance: Imbalance): string {
  return "unknown" in imbalance ? imbalance.unknown : "";
}

function RateChart(props: { readonly samples: readonly Sample[] }): JSX.Element {
  const maxRate = createMemo(() => Math.max(1, ...props.samples.map((sample) => sample.rate)));
  const pathFor = (kind: keyof Sample) =>
    linePath(
      props.samples.map((sample) => sample[kind]),
      maxRate(),
      WIDTH,
      HEIGHT,
    );
  const hasDrops = () => props.samples.some((sample) => sample.dropping > 0);
  return (
    <figure class="lines">
      <svg
        viewBox={`0 -1 ${WIDTH} ${HEIGHT + 2}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Packets per second in the last 5 minutes, at most ${formatPacketRate(maxRate())}`}
      >
        <path class="line-base" d={`M0 ${HEIGHT}H${WIDTH}`} />
        <path class="line-rate" d={pathFor("rate")} />
        <Show when={hasDrops()}>
          <path class="line-drop" d={pathFor("dropping")} />
        </Show>
      </svg>
      <figcaption class="dim">
        <span>5 min ago</span>
        <span>{props.samples.length < 2 ? "collecting" : `max ${formatPacketRate(maxRate())}`}</span>
        <span>now</span>
      </figcaption>
    </figure>
  );
}

// A frontend's traffic: packets per second by what VPP did with them, and the last five minutes as lines.
import { createMemo, For, Show, type JSX } from "solid-js";
import { bits, rate, short } from "../lib/format";
import { KINDS, outline, type Sample } from "../lib/traffic";
import type { Counters } from "../sync/contract";

const WIDTH = 300;
const HEIGHT = 40;

/** Numbers and lines. */
export function Traffic(props: {
  readonly counters: Counters | undefined;
  readonly samples: readonly Sample[];
}): JSX.Element {
  return (
    <section class="block traffic" aria-label="Traffic">
      <h4>Traffic</h4>
      <Show
        when={props.counters}
        fallback={<p class="dim">VPP does not say which counters are this VIP's.</p>}
      >
        {(counters) => (
          <>
            <Lines samples={props.samples} />
            <table class="plain numbers">
              <tbody>
                <For each={KINDS}>
                  {([kind, word, meaning]) => (
                    <Show when={counters()[kind]}>
                      {(count) => (
                        <tr
                          title={meaning}
                          classList={{ "is-dropping": kind === "no_server" && count().rate > 0 }}
                        >
                          <th scope="row">{word}</th>
                          <td>{rate(count().rate)}</td>
                          <td class="dim" title={`${count().total} since VPP added the VIP`}>
                            {short(count().total)}
                          </td>
                        </tr>
                      )}
                    </Show>
                  )}
                </For>
                <Show when={counters().route}>
                  {(route) => (
                    <tr title="what took the route to the VIP's address, which all VIPs of that address share">
                      <th scope="row">route</th>
                      <td>{rate(route().packets.rate)}</td>
                      <td class="dim">{bits(route().bytes.rate)}</td>
                    </tr>
                  )}
                </Show>
              </tbody>
            </table>
          </>
        )}
      </Show>
    </section>
  );
}

function Lines(props: { readonly samples: readonly Sample[] }): JSX.Element {
  const top = createMemo(() => Math.max(1, ...props.samples.map((sample) => sample.rate)));
  const line = (kind: keyof Sample) =>
    outline(
      props.samples.map((sample) => sample[kind]),
      top(),
      WIDTH,
      HEIGHT,
    );
  const drops = () => props.samples.some((sample) => sample.dropping > 0);
  return (
    <figure class="lines">
      <svg
        viewBox={`0 -1 ${WIDTH} ${HEIGHT + 2}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Packets per second in the last 5 minutes, at most ${rate(top())}`}
      >
        <path class="line-base" d={`M0 ${HEIGHT}H${WIDTH}`} />
        <path class="line-rate" d={line("rate")} />
        <Show when={drops()}>
          <path class="line-drop" d={line("dropping")} />
        </Show>
      </svg>
      <figcaption class="dim">
        <span>5 min ago</span>
        <span>{props.samples.length < 2 ? "collecting" : `top ${rate(top())}`}</span>
        <span>now</span>
      </figcaption>
    </figure>
  );
}

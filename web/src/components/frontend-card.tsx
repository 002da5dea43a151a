// A frontend on a node's tab: one line, or opened with its buckets, pools, traffic and Kubernetes objects.
import { Show, type JSX } from "solid-js";
import { formatPacketRate } from "../lib/format";
import { imbalance } from "../lib/imbalance";
import { programSummary, programStatus } from "../lib/program-status";
import { byName } from "../lib/row-order";
import { toSample } from "../lib/traffic";
import { formatVip } from "../lib/vip";
import type { FrontendDetail, NodePage } from "../sync/contract";
import { frontendPages } from "../store/server-state";
import { toggleFrontendRow } from "../store/location";
import { frontendSamples } from "../store/rate-samples";
import { Age } from "./age";
import { BucketBar } from "./bucket-bar";
import { Flash } from "./flash";
import { ObjectBlock } from "./object-block";
import { ReferencedObjects } from "./referenced-objects";
import { PoolTable } from "./pool-table";
import { Shape } from "./shape";
import { Timeline } from "./timeline";
import { Traffic } from "./traffic";

interface CardProps {
  readonly state: NodePage;
  readonly name: string;
  readonly frontend: FrontendDetail;
  readonly open: boolean;
  /** Always open; cannot be closed. */
  readonly fixed: boolean;
}

export function FrontendCard(props: CardProps): JSX.Element {
  return (
    <article
      class={`card is-${props.frontend.state}`}
      classList={{ open: props.open, fixed: props.fixed }}
      role={props.fixed ? undefined : "row"}
      aria-label={`Frontend ${props.name}`}
    >
      <div role={props.fixed ? undefined : "cell"}>
        <Title {...props} />
        <Show when={props.open}>
          <Body {...props} />
        </Show>
      </div>
    </article>
  );
}

function Title(props: CardProps): JSX.Element {
  const heading = () => (
    <>
      <Flash value={props.frontend.state} class="card-state">
        <Shape state={props.frontend.state} />
        <span class={`word is-${props.frontend.state}`}>{props.frontend.state}</span>
      </Flash>
      <span class="card-name clip" title={props.name}>
        {props.name}
      </span>
    </>
  );
  return (
    <header class="card-title">
      <Show when={!props.fixed} fallback={<h3 class="card-open">{heading()}</h3>}>
        <button
          type="button"
          class="card-open"
          data-focus
          aria-expanded={props.open}
          onClick={() => toggleFrontendRow(props.name)}
        >
          {heading()}
        </button>
      </Show>
      <span class="mono card-vip">{formatVip(props.frontend.vip)}</span>
      <span class="dim card-encap">{props.frontend.encap ?? "encap kept as in VPP"}</span>
      <BucketBar frontend={props.frontend} />
      <span class="card-rate">{formatPacketRate(toSample(props.frontend.counters).rate)}</span>
      <span class="card-since dim">
        <Age since={props.frontend.since} />
      </span>
    </header>
  );
}

function Body(props: CardProps): JSX.Element {
  const page = () => frontendPages().get(props.name)?.value;
  const key = () => `Frontend ${props.name}`;
  const cut = () => ({ [props.state.node]: props.state });
  const lanes = () => {
    const names = new Set(Object.values(props.frontend.pools).flatMap((pool) => Object.keys(pool.members)));
    return [...names].sort(byName).map((name) => ({
      name,
      details: [props.state.backends[name]].filter((detail) => detail !== undefined),
    }));
  };
  return (
    <div class="card-body">
      <Facts frontend={props.frontend} />
      <PoolTable frontend={props.name} nodes={cut()} heartbeatNode={props.state.node} />
      <div class="card-more">
        <Traffic
          counters={props.frontend.counters}
          samples={frontendSamples(props.name, "node")}
          imbalance={imbalance(props.name, cut())}
        />
        <Timeline lanes={lanes()} />
      </div>
      <ObjectBlock
        kind="Frontend"
        name={props.name}
        info={page()?.objects[key()]}
        problems={props.frontend.problems}
        programmed={programSummary(props.name, cut())}
      />
      <Show when={page()}>{(page) => <ReferencedObjects objects={page().objects} except={key()} />}</Show>
    </div>
  );
}

function Facts(props: { readonly frontend: FrontendDetail }): JSX.Element {
  const frontend = () => props.frontend;
  const programFailed = () => frontend().report?.result === "Failed" || frontend().report?.result === "Held";
  return (
    <p class="facts dim">
      <span classList={{ "is-rejected": programFailed() }}>{programStatus(frontend())}</span>
      <Show when={frontend().standing !== "serving"}>
        <span class="is-rejected">{frontend().standing}</span>
      </Show>
      <span>{frontend().table_length} buckets</span>
      <span>{frontend().sticky ? "client affinity" : "no client affinity"}</span>
      <span>
        {frontend().on_backend_down === "Flush"
          ? "flushes flows of down backends"
          : "keeps flows of down backends"}
      </span>
      <Show when={!frontend().in_vpp}>
        <span class="is-standby">not in VPP</span>
      </Show>
    </p>
  );
}

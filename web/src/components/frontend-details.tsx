// An opened frontend in the table of all nodes: its state by node, its pools, traffic, timeline and Kubernetes
// objects.
import { createMemo, Show, type JSX } from "solid-js";
import { disagreementSentence } from "../lib/disagreement";
import { imbalance } from "../lib/imbalance";
import { byName } from "../lib/row-order";
import { programSummary } from "../lib/program-status";
import { sumCounters } from "../lib/traffic";
import type { FrontendPage, Named, FrontendParts, Summary } from "../sync/contract";
import { frontendPages } from "../store/server-state";
import { frontendSamples } from "../store/rate-samples";
import { Age } from "./age";
import { LoadingLine } from "./placeholders";
import { NodeTable } from "./node-table";
import { ObjectBlock } from "./object-block";
import { PoolTable } from "./pool-table";
import { ReferencedObjects } from "./referenced-objects";
import { Timeline, type Lane } from "./timeline";
import { Traffic } from "./traffic";

export function FrontendDetails(props: { readonly name: string; readonly summary: Summary }): JSX.Element {
  const page = () => frontendPages().get(props.name);
  return (
    <div role="row" class="details-row">
      <div role="cell" class="details">
        <Show
          when={page()?.value}
          fallback={<LoadingLine document={page()} subject={`frontend ${props.name}`} />}
        >
          {(value) => <LoadedDetails name={props.name} page={value()} summary={props.summary} />}
        </Show>
      </div>
    </div>
  );
}

function LoadedDetails(props: {
  readonly name: string;
  readonly page: FrontendPage;
  readonly summary: Summary;
}): JSX.Element {
  // Only reporting nodes are counted; the others are still listed.
  const reporting = createMemo(() => {
    const cuts: Record<string, FrontendParts> = {};
    for (const [node, cut] of Object.entries(props.page.nodes)) {
      if (props.summary.nodes[node]?.reporting && cut.frontends[props.name]) cuts[node] = cut;
    }
    return cuts;
  });
  const counters = createMemo(() =>
    sumCounters(Object.values(reporting()).map((cut) => cut.frontends[props.name]?.counters)),
  );
  const key = () => `Frontend ${props.name}`;
  return (
    <>
      <div class="details-main">
        <Show when={props.summary.rows[props.name]?.disagreement}>
          {(disagreement) => (
            <p class="is-standby disagreement">
              {disagreementSentence(disagreement())}, for <Age since={disagreement().since} />
            </p>
          )}
        </Show>
        <NodeTable name={props.name} page={props.page} summary={props.summary} />
        <PoolTable frontend={props.name} nodes={reporting()} />
      </div>
      <div class="details-side">
        <Traffic
          counters={counters()}
          samples={frontendSamples(props.name, "all")}
          imbalance={imbalance(props.name, reporting())}
        />
        <Timeline lanes={timelineLanes(reporting())} />
        <ObjectBlock
          kind="Frontend"
          name={props.name}
          info={props.page.objects[key()]}
          problems={props.summary.problems[key()]?.problems ?? []}
          programmed={programSummary(props.name, reporting())}
        />
        <ReferencedObjects objects={props.page.objects} except={key()} />
      </div>
    </>
  );
}

function timelineLanes(cuts: Named<FrontendParts>): Lane[] {
  const names = new Set(Object.values(cuts).flatMap((cut) => Object.keys(cut.backends)));
  return [...names].sort(byName).map((name) => ({
    name,
    details: Object.values(cuts).flatMap((cut) => cut.backends[name] ?? []),
  }));
}

// The tab of all nodes.
import { Show, type JSX } from "solid-js";
import type { Summary } from "../sync/contract";
import { summary } from "../store/server-state";
import { route } from "../store/location";
import { Attention } from "./attention";
import { BackendPage } from "./backend-page";
import { FirstRun, LoadingPage, NoFrontends } from "./placeholders";
import { FilterBox } from "./filter-box";
import { FrontendTable } from "./frontend-table";
import { ProblemCounts } from "./problem-counts";
import { Transitions } from "./transitions";

export function AllNodes(): JSX.Element {
  return (
    <Show when={summary().value} fallback={<LoadingPage document={summary()} />}>
      {(value) => (
        <Show when={Object.keys(value().nodes).length > 0} fallback={<FirstRun summary={value()} />}>
          <ProblemCounts summary={value()} />
          <Show when={route().backend} fallback={<Overview summary={value()} />}>
            {(backend) => <BackendPage name={backend()} summary={value()} />}
          </Show>
        </Show>
      )}
    </Show>
  );
}

function Overview(props: { readonly summary: Summary }): JSX.Element {
  const rows = () => Object.keys(props.summary.rows).length;
  return (
    <>
      <FilterBox hint="name, address, backend, state…" />
      <div class="overview">
        <div class="overview-main">
          <Attention summary={props.summary} />
          <Show when={rows() > 0} fallback={<NoFrontends nodes={props.summary.totals.reporting} />}>
            <FrontendTable summary={props.summary} />
          </Show>
        </div>
        <Transitions summary={props.summary} />
      </div>
    </>
  );
}

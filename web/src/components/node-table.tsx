// The state of an opened frontend by node. One row stands for many nodes with an identical state.
import { createMemo, createSignal, For, Show, type JSX } from "solid-js";
import { groupNodes } from "../lib/node-groups";
import { plural, formatPacketRate } from "../lib/format";
import { byName } from "../lib/row-order";
import { programStatus } from "../lib/program-status";
import { toSample } from "../lib/traffic";
import type { FrontendDetail, FrontendPage, FrontendParts, NodeHeader, Summary } from "../sync/contract";
import { frontendLink } from "../store/location";
import { Age } from "./age";
import { Flash } from "./flash";
import { StateLabel } from "./shape";

export function NodeTable(props: {
  readonly name: string;
  readonly page: FrontendPage;
  readonly summary: Summary;
}): JSX.Element {
  const nodeNames = () =>
    Object.keys(props.page.nodes)
      .filter((node) => node in props.summary.nodes)
      .sort(byName);
  const [showAll, setShowAll] = createSignal(false);
  const groups = createMemo(() => groupNodes(props.name, nodeNames(), props.page.nodes, props.summary.nodes));
  const shownNodes = () => (showAll() ? nodeNames() : groups().distinct);
  return (
    <table class="plain node-cells">
      <thead>
        <tr>
          <th scope="col">Node</th>
          <th scope="col">State</th>
          <th scope="col" class="number">
            Up
          </th>
          <th scope="col">Pool</th>
          <th scope="col">Programmed</th>
          <th scope="col" class="number">
            Rate
          </th>
          <th scope="col" class="number">
            Since
          </th>
        </tr>
      </thead>
      <tbody>
        <Show when={groups().identical.length > 0}>
          <tr>
            <td colSpan={7}>
              {plural(groups().identical.length, "node")} with identical state, {groups().distinct.length}{" "}
              different{" "}
              <button
                type="button"
                class="small"
                aria-pressed={showAll()}
                onClick={() => setShowAll(!showAll())}
              >
                show all
              </button>
            </td>
          </tr>
          <Show when={!showAll() ? groups().identical[0] : undefined}>
            {(node) => (
              <Show when={props.page.nodes[node()]?.frontends[props.name]}>
                {(frontend) => (
                  <NodeRow
                    node={node()}
                    name={props.name}
                    frontend={frontend()}
                    cut={props.page.nodes[node()]}
                    head={props.summary.nodes[node()]}
                  />
                )}
              </Show>
            )}
          </Show>
        </Show>
        <For each={shownNodes()}>
          {(node) => (
            <Show
              when={props.page.nodes[node]?.frontends[props.name]}
              fallback={<MissingFrontendRow node={node} />}
            >
              {(frontend) => (
                <NodeRow
                  node={node}
                  name={props.name}
                  frontend={frontend()}
                  cut={props.page.nodes[node]}
                  head={props.summary.nodes[node]}
                />
              )}
            </Show>
          )}
        </For>
      </tbody>
    </table>
  );
}

function MissingFrontendRow(props: { readonly node: string }): JSX.Element {
  return (
    <tr>
      <th scope="row">{props.node}</th>
      <td colSpan={6} class="dim">
        does not have this frontend
      </td>
    </tr>
  );
}

function NodeRow(props: {
  readonly node: string;
  readonly name: string;
  readonly frontend: FrontendDetail;
  readonly cut: FrontendParts | undefined;
  readonly head: NodeHeader | undefined;
}): JSX.Element {
  const members = () => [
    ...new Set(Object.values(props.frontend.pools).flatMap((pool) => Object.keys(pool.members))),
  ];
  const up = () => members().filter((backend) => props.cut?.backends[backend]?.state === "up").length;
  const silent = () => !(props.head?.reporting ?? false);
  const state = () => (props.frontend.standing === "withdrawn" ? "rejected" : props.frontend.state);
  return (
    <tr classList={{ stale: silent() }}>
      <th scope="row" data-label="Node">
        <a href={frontendLink(props.name, props.node)}>{props.node}</a>
      </th>
      <td data-label="State">
        <Flash value={`${props.frontend.state} ${props.frontend.standing}`} class="pad">
          <StateLabel
            state={state()}
            label={props.frontend.standing === "withdrawn" ? "withdrawn" : props.frontend.state}
          />
        </Flash>
        <Show when={silent()}>
          <span class="dim"> not reporting</span>
        </Show>
        <Show when={props.frontend.code}>
          <span class="dim"> {props.frontend.code}</span>
        </Show>
      </td>
      <td class="number" data-label="Up">
        <Flash value={up()} class="pad">
          {up()}/{members().length}
        </Flash>
      </td>
      <td data-label="Pool">{props.frontend.active_pool ?? "none"}</td>
      <td data-label="Programmed">
        <span classList={{ "is-rejected": programFailed(props.frontend) }}>
          {programStatus(props.frontend)}
        </span>
      </td>
      <td class="number" data-label="Rate">
        <Show when={props.frontend.counters} fallback="–">
          {formatPacketRate(toSample(props.frontend.counters).rate)}
        </Show>
      </td>
      <td class="number" data-label="Since">
        <Age since={props.frontend.since} />
      </td>
    </tr>
  );
}

function programFailed({ report }: FrontendDetail): boolean {
  return report?.result === "Failed" || report?.result === "Held";
}

// The page of one backend: its state on every node, its timeline, its frontends, and its Kubernetes object.
import { createMemo, For, Show, type JSX } from "solid-js";
import { backendHue } from "../lib/backend-color";
import { backendTraffic, type BackendTraffic } from "../lib/backend-traffic";
import { byName } from "../lib/row-order";
import type { BackendDetail, Summary } from "../sync/contract";
import { frontendPages } from "../store/server-state";
import { frontendLink } from "../store/location";
import { backendIndex } from "../store/backend-index";
import { formatVip } from "../lib/vip";
import { rowDisplayState } from "../lib/display-state";
import { Age } from "./age";
import { ChangeButton } from "./change-button";
import { Flash } from "./flash";
import { ObjectBlock } from "./object-block";
import { StateLabel } from "./shape";
import { Timeline } from "./timeline";
import { TrafficCells, TrafficHeads } from "./traffic-cells";

export function BackendPage(props: { readonly name: string; readonly summary: Summary }): JSX.Element {
  const users = createMemo(() => backendIndex().users.get(props.name) ?? [], [], {
    equals: (a, b) => a.join() === b.join(),
  });
  const loadedPages = () => [...frontendPages().values()].flatMap(({ value }) => value ?? []);
  // All frontends that use the backend have the same details of it.
  const details = createMemo(() => {
    const nodes: Record<string, BackendDetail> = {};
    for (const page of loadedPages()) {
      for (const [node, cut] of Object.entries(page.nodes)) {
        const detail = cut.backends[props.name];
        if (detail) nodes[node] = detail;
      }
    }
    return nodes;
  });
  const reporting = () => Object.keys(details()).filter((node) => props.summary.nodes[node]?.reporting);
  const address = () => Object.values(details())[0]?.address;
  const key = () => `Backend ${props.name}`;
  const info = () => loadedPages().find((page) => key() in page.objects)?.objects[key()];
  return (
    <section class="panel backend-page" aria-label={`Backend ${props.name}`}>
      <p class="back">
        <a href="#/">← All nodes</a>
      </p>
      <h2>
        <span class={`swatch hue-${backendHue(props.name)}`} aria-hidden="true" /> Backend{" "}
        <span class="mono">{props.name}</span>{" "}
        <Show when={address()}>
          <span class="mono dim">{address()}</span>
        </Show>
        <ChangeButton backend={props.name} />
      </h2>
      <Show
        when={users().length > 0}
        fallback={
          <div class="details">
            <p class="dim">No frontend uses this backend, so there is no state to show.</p>
            <ObjectBlock
              kind="Backend"
              name={props.name}
              info={undefined}
              problems={props.summary.problems[key()]?.problems ?? []}
            />
          </div>
        }
      >
        <div class="details">
          <div class="details-main">
            <table class="plain node-cells">
              <thead>
                <tr>
                  <th scope="col">Node</th>
                  <th scope="col">State</th>
                  <th scope="col">Check</th>
                  <TrafficHeads />
                  <th scope="col" class="number">
                    Since
                  </th>
                </tr>
              </thead>
              <tbody>
                <For each={Object.keys(details()).sort(byName)}>
                  {(node) => (
                    <Show when={details()[node]}>
                      {(detail) => (
                        <BackendRow
                          node={node}
                          detail={detail()}
                          carried={backendTraffic(props.name, node, loadedPages())}
                          silent={!props.summary.nodes[node]?.reporting}
                        />
                      )}
                    </Show>
                  )}
                </For>
              </tbody>
            </table>
            <section class="block" aria-label="Used by">
              <h4>Used by</h4>
              <ul class="users">
                <For each={users()}>
                  {(name) => (
                    <li>
                      <a href={frontendLink(name, null)}>{name}</a>{" "}
                      <Show when={props.summary.rows[name]}>
                        {(row) => (
                          <>
                            <span class="mono dim">{formatVip(row().vip)}</span>{" "}
                            <StateLabel state={rowDisplayState(row().state)} label={row().state} />
                          </>
                        )}
                      </Show>
                    </li>
                  )}
                </For>
              </ul>
            </section>
          </div>
          <div class="details-side">
            <Timeline
              lanes={reporting().map((node) => ({
                name: node,
                details: [details()[node]].filter((detail) => detail !== undefined),
              }))}
            />
            <ObjectBlock
              kind="Backend"
              name={props.name}
              info={info()}
              problems={props.summary.problems[key()]?.problems ?? []}
            />
          </div>
        </div>
      </Show>
    </section>
  );
}

function BackendRow(props: {
  readonly node: string;
  readonly detail: BackendDetail;
  readonly carried: BackendTraffic;
  readonly silent: boolean;
}): JSX.Element {
  return (
    <tr classList={{ stale: props.silent }}>
      <th scope="row">{props.node}</th>
      <td>
        <Flash value={props.detail.state} class="pad">
          <StateLabel state={props.detail.state} />
        </Flash>{" "}
        <span class="dim">
          {props.detail.code} {props.detail.in_doubt ? "in doubt: the probe path is suspect" : ""}
          {props.silent ? " not reporting" : ""}
        </span>
      </td>
      <td>
        {props.detail.check ?? "none: always up"} <span class="dim">{props.detail.check_type}</span>
      </td>
      <TrafficCells traffic={props.carried.traffic} flows={props.carried.flows} />
      <td class="number">
        <Age since={props.detail.since} />
      </td>
    </tr>
  );
}

// The table of a frontend's pools, over all nodes or on one. The table of one node also has the backends' heartbeats,
// and weights that VPP does not have yet. Marks of the paths are beside the heartbeats.
import { createMemo, For, Show, type JSX } from "solid-js";
import { conditionLabel, conditionState, conditionTooltip } from "../lib/condition";
import { summarizePools, type MemberSummary, type PoolSummary } from "../lib/pools";
import type { Named, FrontendParts } from "../sync/contract";
import { Age } from "./age";
import { AgentReport } from "./agent-report";
import { BackendName } from "./backend-name";
import { ChangeButton } from "./change-button";
import { Flash } from "./flash";
import { ProbeHeartbeat } from "./heartbeat";
import { PathFailure, PathMark } from "./path-mark";
import { StateLabel } from "./shape";
import { TrafficCells, TrafficHeads } from "./traffic-cells";
import { UnclaimedServers } from "./unclaimed-servers";

interface TableProps {
  readonly frontend: string;
  /** The reporting nodes. */
  readonly nodes: Named<FrontendParts>;
  /** The only node of `nodes`, to show its heartbeats. */
  readonly heartbeatNode?: string;
}

export function PoolTable(props: TableProps): JSX.Element {
  const pools = createMemo(() => summarizePools(props.frontend, props.nodes));
  const withPaths = createMemo(() => pools().some(({ members }) => members.some(({ path }) => path)));
  // The head of the column of marks; empty without the column.
  const marks = () => {
    if (props.heartbeatNode === undefined) return withPaths() ? "Path" : "";
    return withPaths() ? "Heartbeat and path" : "Heartbeat";
  };
  return (
    <>
      <table class="plain pools" classList={{ "with-marks": marks() !== "" }}>
        <thead>
          <tr>
            <Show when={marks()}>
              <th scope="col">
                <span class="visually-hidden">{marks()}</span>
              </th>
            </Show>
            <th scope="col">Backend</th>
            <th scope="col">Address</th>
            <th scope="col">State</th>
            <th scope="col" class="number">
              Weight
            </th>
            <th scope="col" class="number">
              Effective
            </th>
            <th scope="col" class="number">
              Buckets
            </th>
            <TrafficHeads />
            <th scope="col" class="number from-start">
              Since
            </th>
          </tr>
        </thead>
        <For each={pools().map(({ name }) => name)}>
          {(name) => (
            <Show when={pools().find((pool) => pool.name === name)}>
              {(pool) => <PoolBody {...props} pool={pool()} withMarks={marks() !== ""} />}
            </Show>
          )}
        </For>
      </table>
      <UnclaimedServers frontend={props.frontend} nodes={props.nodes} />
    </>
  );
}

function PoolBody(
  props: TableProps & { readonly pool: PoolSummary; readonly withMarks: boolean },
): JSX.Element {
  const activity = () => {
    const { active } = props.pool;
    if (active.length === 0) return "not active";
    return active.length === Object.keys(props.nodes).length ? "active" : `active on ${active.join(", ")}`;
  };
  return (
    <tbody>
      <tr class="pool-head">
        <th colSpan={props.withMarks ? 10 : 9} scope="rowgroup">
          pool <span class="strong">{props.pool.name}</span>{" "}
          <Flash value={activity()} class="dim">
            {activity()}
          </Flash>
        </th>
      </tr>
      <For each={props.pool.members.map(({ backend }) => backend)}>
        {(backend) => (
          <Show when={props.pool.members.find((member) => member.backend === backend)}>
            {(member) => (
              <MemberRow
                frontend={props.frontend}
                pool={props.pool.name}
                member={member()}
                heartbeatNode={props.heartbeatNode}
                withMarks={props.withMarks}
              />
            )}
          </Show>
        )}
      </For>
    </tbody>
  );
}

function MemberRow(props: {
  readonly frontend: string;
  readonly pool: string;
  readonly member: MemberSummary;
  readonly heartbeatNode: string | undefined;
  readonly withMarks: boolean;
}): JSX.Element {
  return (
    <tr>
      <Show when={props.withMarks}>
        <td class="marks">
          <Show when={props.heartbeatNode}>
            {(node) => (
              <ProbeHeartbeat node={node()} frontend={props.frontend} backend={props.member.backend} />
            )}
          </Show>
          <Show when={props.member.path}>{(path) => <PathMark path={path()} />}</Show>
        </td>
      </Show>
      <th scope="row" data-label="Backend">
        <BackendName name={props.member.backend} />
        <ChangeButton
          backend={props.member.backend}
          member={{ frontend: props.frontend, pool: props.pool, weight: props.member.weight[0]?.value }}
        />
      </th>
      <td class="mono" data-label="Address">
        {props.member.address || "unknown"}
      </td>
      <td data-label="State">
        <AgentReport
          values={props.member.condition}
          render={(condition) => (
            <span title={conditionTooltip(condition)}>
              <StateLabel state={conditionState(condition)} label={conditionLabel(condition)} />
            </span>
          )}
        />
        <Show when={props.member.code}>
          {" "}
          <span class="dim">{props.member.code}</span>
        </Show>
        <Show when={props.member.path}>{(path) => <PathFailure path={path()} />}</Show>
      </td>
      <td class="number" data-label="Weight">
        <AgentReport values={props.member.weight} render={(weight) => weight} />
      </td>
      <td class="number" data-label="Effective">
        <AgentReport values={props.member.effective} render={(weight) => weight} />
        <Show when={props.member.weightKept}>
          <span
            class="dim"
            title="The agent keeps the weight that VPP has until the backend's state is known"
          >
            {" "}
            kept
          </span>
        </Show>
        <Show when={props.heartbeatNode !== undefined && props.member.pendingInVpp[0]}>
          {(pending) => (
            <span class="is-standby" title="VPP still has another weight">
              {" "}
              VPP {pending().value ?? "none"}
            </span>
          )}
        </Show>
      </td>
      <td class="number" data-label="Buckets">
        <AgentReport values={props.member.buckets} render={(buckets) => buckets} />
      </td>
      <TrafficCells traffic={props.member.traffic} flows={props.member.flows} />
      <td class="number from-start" data-label="Since">
        <Age since={props.member.since} />
      </td>
    </tr>
  );
}

// A frontend's pools over all nodes.
import { createMemo, For, Show, type JSX } from "solid-js";
import { conditionTooltip, conditionState, conditionLabel } from "../lib/condition";
import { summarizePools, type MemberSummary, type PoolSummary } from "../lib/pools";
import type { Named, NodeCut } from "../sync/contract";
import { Age } from "./age";
import { ChangeButton } from "./change-button";
import { AgentReport } from "./agent-report";
import { StateLabel } from "./shape";
import { BackendName } from "./backend-name";

/** The table of a frontend's pools. `nodes` are those that report. */
export function FoldedPools(props: {
  readonly frontend: string;
  readonly nodes: Named<NodeCut>;
}): JSX.Element {
  const pools = createMemo(() => summarizePools(props.frontend, props.nodes));
  const nodeCount = () => Object.keys(props.nodes).length;
  return (
    <table class="plain pools">
      <thead>
        <tr>
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
          <th scope="col" class="number">
            Since
          </th>
        </tr>
      </thead>
      <For each={pools().map(({ name }) => name)}>
        {(name) => (
          <Show when={pools().find((pool) => pool.name === name)}>
            {(pool) => <FoldedPoolBody frontend={props.frontend} pool={pool()} nodes={nodeCount()} />}
          </Show>
        )}
      </For>
    </table>
  );
}

function FoldedPoolBody(props: {
  readonly frontend: string;
  readonly pool: PoolSummary;
  readonly nodes: number;
}): JSX.Element {
  const active = () => {
    const { length } = props.pool.active;
    if (length === 0) return "not active";
    return length === props.nodes ? "active" : `active on ${props.pool.active.join(", ")}`;
  };
  return (
    <tbody>
      <tr class="pool-head">
        <th colSpan={7} scope="rowgroup">
          pool <span class="strong">{props.pool.name}</span> <span class="dim">{active()}</span>
        </th>
      </tr>
      <For each={props.pool.members.map(({ backend }) => backend)}>
        {(backend) => (
          <Show when={props.pool.members.find((member) => member.backend === backend)}>
            {(member) => (
              <FoldedMemberRow frontend={props.frontend} pool={props.pool.name} member={member()} />
            )}
          </Show>
        )}
      </For>
    </tbody>
  );
}

function FoldedMemberRow(props: {
  readonly frontend: string;
  readonly pool: string;
  readonly member: MemberSummary;
}): JSX.Element {
  return (
    <tr>
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
      </td>
      <td class="number" data-label="Weight">
        <AgentReport values={props.member.weight} render={(weight) => weight} />
      </td>
      <td class="number" data-label="Effective">
        <AgentReport values={props.member.effective} render={(weight) => weight} />
        <Show when={props.member.unchangedInVpp}>
          <span class="dim" title="kept as VPP has it: nothing is known well enough to change it">
            {" "}
            kept
          </span>
        </Show>
      </td>
      <td class="number" data-label="Buckets">
        <AgentReport values={props.member.buckets} render={(buckets) => buckets} />
      </td>
      <td class="number" data-label="Since">
        <Age since={props.member.since} />
      </td>
    </tr>
  );
}

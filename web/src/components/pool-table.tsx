// A frontend's pools on one node, with the heart of every backend.
import { For, Show, type JSX } from "solid-js";
import { conditionTooltip, conditionState, conditionLabel } from "../lib/condition";
import { inOrder } from "../lib/pools";
import type { BackendDetail, FrontendDetail, Member, Named, PoolDetail } from "../sync/contract";
import { Age } from "./age";
import { ChangeButton } from "./change-button";
import { Flash } from "./flash";
import { ProbeHeartbeat } from "./heartbeat";
import { StateLabel } from "./shape";
import { BackendName } from "./backend-name";

/** The table. */
export function PoolTable(props: {
  readonly node: string;
  readonly name: string;
  readonly frontend: FrontendDetail;
  readonly backends: Named<BackendDetail>;
}): JSX.Element {
  return (
    <table class="plain pools with-heartbeats">
      <thead>
        <tr>
          <th scope="col">
            <span class="visually-hidden">Heartbeat</span>
          </th>
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
      <For each={inOrder(props.frontend.pools).map(([name]) => name)}>
        {(pool) => (
          <Show when={props.frontend.pools[pool]}>
            {(pool2) => (
              <PoolBody
                node={props.node}
                frontend={props.name}
                name={pool}
                pool={pool2()}
                backends={props.backends}
              />
            )}
          </Show>
        )}
      </For>
    </table>
  );
}

function PoolBody(props: {
  readonly node: string;
  readonly frontend: string;
  readonly name: string;
  readonly pool: PoolDetail;
  readonly backends: Named<BackendDetail>;
}): JSX.Element {
  return (
    <tbody>
      <tr class="pool-head">
        <th colSpan={8} scope="rowgroup">
          pool <span class="strong">{props.name}</span>{" "}
          <Flash value={props.pool.active} class="dim">
            {props.pool.active ? "active" : "not active"}
          </Flash>
        </th>
      </tr>
      <For each={inOrder(props.pool.members).map(([backend]) => backend)}>
        {(backend) => (
          <Show when={props.pool.members[backend]}>
            {(member) => (
              <MemberRow
                node={props.node}
                frontend={props.frontend}
                pool={props.name}
                name={backend}
                member={member()}
                detail={props.backends[backend]}
              />
            )}
          </Show>
        )}
      </For>
    </tbody>
  );
}

function MemberRow(props: {
  readonly node: string;
  readonly frontend: string;
  readonly pool: string;
  readonly name: string;
  readonly member: Member;
  readonly detail: BackendDetail | undefined;
}): JSX.Element {
  const condition = () => props.member.condition;
  return (
    <tr>
      <td class="heartbeat-cell">
        <ProbeHeartbeat node={props.node} frontend={props.frontend} backend={props.name} />
      </td>
      <th scope="row" data-label="Backend">
        <BackendName name={props.name} />
        <ChangeButton
          backend={props.name}
          member={{ frontend: props.frontend, pool: props.pool, weight: props.member.weight }}
        />
      </th>
      <td class="mono" data-label="Address">
        {props.member.address ?? "unknown"}
      </td>
      <td data-label="State">
        <Flash value={condition()} class="pad">
          <span title={conditionTooltip(condition())}>
            <StateLabel state={conditionState(condition())} label={conditionLabel(condition())} />
          </span>
        </Flash>
        <Show when={props.detail?.code}>
          {" "}
          <span class="dim">{props.detail?.code}</span>
        </Show>
      </td>
      <td class="number" data-label="Weight">
        <Flash value={props.member.weight} class="pad">
          {props.member.weight}
        </Flash>
      </td>
      <td class="number" data-label="Effective">
        <Flash value={props.member.effective} class="pad">
          {props.member.effective}
        </Flash>
        <Difference member={props.member} />
      </td>
      <td class="number" data-label="Buckets">
        <Flash value={props.member.buckets} class="pad">
          {props.member.buckets ?? "–"}
        </Flash>
      </td>
      <td class="number" data-label="Since">
        <Age since={props.detail?.since} />
      </td>
    </tr>
  );
}

// What VPP has, where that is not what is in effect.
function Difference(props: { readonly member: Member }): JSX.Element {
  return (
    <>
      <Show when={props.member.kept}>
        <span class="dim" title="kept as VPP has it: nothing is known well enough to change it">
          {" "}
          kept
        </span>
      </Show>
      <Show when={props.member.in_vpp !== props.member.effective}>
        <span class="is-standby" title="VPP has not followed yet">
          {" "}
          VPP {props.member.in_vpp ?? "none"}
        </span>
      </Show>
    </>
  );
}

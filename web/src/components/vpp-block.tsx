// VPP on a node, and the agent's configuration for it.
import { For, Show, type JSX } from "solid-js";
import { fullTime, plural } from "../lib/format";
import { stickyTableUsage } from "../lib/sticky-tables";
import { formatVip } from "../lib/vip";
import type { NodeHeader, NodePage, VppPanel } from "../sync/contract";
import { zone } from "../store/preferences";
import { Age } from "./age";
import { ObjectBlock } from "./object-block";
import { StateLabel } from "./shape";

export function VppBlock(props: { readonly head: NodeHeader; readonly state: NodePage }): JSX.Element {
  const settings = () => props.state.settings;
  return (
    <section class="panel vpp" aria-label="VPP">
      <h2>VPP</h2>
      <Show
        when={props.state.vpp}
        fallback={
          <p>
            <StateLabel state="down" label="not connected" /> <span class="dim">{props.head.not_ready}</span>
          </p>
        }
      >
        {(vpp) => <Connected vpp={vpp()} />}
      </Show>
      <dl>
        <dt>Last sync</dt>
        <dd>
          <Age since={props.head.last_pass} /> ago
          <Show when={props.head.failed_steps > 0}>
            <span class="is-rejected"> {plural(props.head.failed_steps, "step")} failed</span>
          </Show>
        </dd>
        <Show when={props.head.sync_error}>
          <dt>Sync error</dt>
          <dd class="is-rejected">{props.head.sync_error}</dd>
        </Show>
        <Show when={settings()}>{(settings) => <Settings settings={settings()} />}</Show>
        <Show when={props.state.claims_unknown}>
          <dt>Claims</dt>
          <dd class="is-rejected">the claim of a Frontend cannot be read, so no VIP is removed</dd>
        </Show>
        <Show when={Object.keys(props.state.foreign).length > 0}>
          <dt>Foreign VIPs</dt>
          <dd>
            <ul>
              <For each={Object.values(props.state.foreign)}>
                {(vip) => <li class="mono">{formatVip(vip)}</li>}
              </For>
            </ul>
          </dd>
        </Show>
      </dl>
      <ObjectInfoBlock state={props.state} kind="MaglevNode" name={props.state.node} />
      <Show when={settings()?.load_balancer_config}>
        {(name) => <ObjectInfoBlock state={props.state} kind="LoadBalancerConfig" name={name()} />}
      </Show>
    </section>
  );
}

function Settings(props: { readonly settings: NonNullable<NodePage["settings"]> }): JSX.Element {
  return (
    <>
      <dt>Config</dt>
      <dd>{props.settings.load_balancer_config ?? "defaults"}</dd>
      <dt>Sync</dt>
      <dd>
        every {props.settings.sync_interval_s} s; foreign VIPs: {props.settings.foreign_vips}; mass removals
        held for {props.settings.mass_removal_hold_s} s
      </dd>
      <dt>Fail open</dt>
      <dd>{props.settings.fail_open ? "yes" : "no"}</dd>
    </>
  );
}

function ObjectInfoBlock(props: {
  readonly state: NodePage;
  readonly kind: "MaglevNode" | "LoadBalancerConfig";
  readonly name: string;
}): JSX.Element {
  const info = () => props.state.objects[`${props.kind} ${props.name}`];
  return <ObjectBlock kind={props.kind} name={props.name} info={info()} problems={[]} />;
}

function Connected(props: { readonly vpp: VppPanel }): JSX.Element {
  const conf = () => props.vpp.conf;
  const usage = () => stickyTableUsage(props.vpp.sticky_tables);
  return (
    <dl>
      <dt>State</dt>
      <dd>
        <StateLabel state="up" label="connected" />{" "}
        <span class="dim">
          <Age since={props.vpp.since} />
        </span>
      </dd>
      <dt>Version</dt>
      <dd title={`built ${props.vpp.build_date}`}>
        {props.vpp.version} <span class="dim">pid {props.vpp.pid}</span>
      </dd>
      <dt>Weights</dt>
      <dd>{props.vpp.weights ? "yes" : "no: equal shares"}</dd>
      <Show when={props.vpp.boot_time}>
        {(boot) => (
          <>
            <dt>Started</dt>
            <dd title={fullTime(Date.parse(boot()), zone())}>
              <Age since={boot()} /> ago
            </dd>
          </>
        )}
      </Show>
      <dt>Contains</dt>
      <dd>
        {plural(props.vpp.vips, "VIP")}, {plural(props.vpp.application_servers, "application server")}
      </dd>
      <dt>Source addresses</dt>
      <dd class="mono">
        {conf()?.ipv4_source ?? "unset"}
        <br />
        {conf()?.ipv6_source ?? "unset"}
      </dd>
      <dt>Sticky table</dt>
      <dd>
        {conf()?.sticky_buckets_per_core ?? "unknown"} buckets per core, flow timeout{" "}
        {conf()?.flow_timeout_s ?? "unknown"} s
      </dd>
      <dt>Tracked flows</dt>
      <dd>
        <Show when={usage().length > 0} fallback={<span class="dim">no thread has forwarded a packet</span>}>
          <ul>
            <For each={usage()}>
              {({ text, filling }) => <li classList={{ "is-standby": filling }}>{text}</li>}
            </For>
          </ul>
          <Show when={usage().some(({ filling }) => filling)}>
            <span class="is-standby">
              Some new flows are not tracked. Raise vpp.stickyBucketsPerCore of the LoadBalancerConfig.
            </span>
          </Show>
        </Show>
      </dd>
      <dt>Last read</dt>
      <dd>
        state <Age since={props.vpp.dump_at} /> ago, counters <Age since={props.vpp.counters_at} /> ago
      </dd>
    </dl>
  );
}

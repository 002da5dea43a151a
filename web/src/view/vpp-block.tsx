// VPP on a node, and how the agent keeps it.
import { For, Show, type JSX } from "solid-js";
import { commandsFor } from "../fold/commands";
import { exact, plural } from "../fold/format";
import { vipText } from "../fold/vip";
import type { NodeHead, NodeState, VppPanel } from "../live/contract";
import { zone } from "../page/preferences";
import { Age } from "./age";
import { Command } from "./copy";
import { State } from "./shape";

/** The block. */
export function VppBlock(props: { readonly head: NodeHead; readonly state: NodeState }): JSX.Element {
  const settings = () => props.state.settings;
  return (
    <section class="panel vpp" aria-label="VPP">
      <h2>VPP</h2>
      <Show
        when={props.state.vpp}
        fallback={
          <p>
            <State of="down" word="not connected" /> <span class="dim">{props.head.not_ready}</span>
          </p>
        }
      >
        {(vpp) => <Connected vpp={vpp()} />}
      </Show>
      <dl>
        <dt>Last pass</dt>
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
        <dt>Config</dt>
        <dd>
          {settings().load_balancer_config ?? "defaults"}
          <Show when={settings().load_balancer_config}>
            {(name) => (
              <For each={commandsFor("LoadBalancerConfig", name())}>
                {(text) => <Command text={text} label={`LoadBalancerConfig ${name()}`} />}
              </For>
            )}
          </Show>
        </dd>
        <dt>Sync</dt>
        <dd>
          every {settings().sync_interval_s} s, foreign VIPs: {settings().foreign_vips}, mass removals held{" "}
          {settings().mass_removal_hold_s} s
        </dd>
        <dt>Fail open</dt>
        <dd>{settings().fail_open ? "yes" : "no"}</dd>
        <Show when={props.state.claims_unknown}>
          <dt>Claims</dt>
          <dd class="is-rejected">some Frontend's claim is unreadable: nothing is removed</dd>
        </Show>
        <Show when={Object.keys(props.state.foreign).length > 0}>
          <dt>Foreign VIPs</dt>
          <dd>
            <ul>
              <For each={Object.values(props.state.foreign)}>
                {(vip) => <li class="mono">{vipText(vip)}</li>}
              </For>
            </ul>
          </dd>
        </Show>
      </dl>
    </section>
  );
}

function Connected(props: { readonly vpp: VppPanel }): JSX.Element {
  const conf = () => props.vpp.conf;
  return (
    <dl>
      <dt>State</dt>
      <dd>
        <State of="up" word="connected" />{" "}
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
            <dt>Booted</dt>
            <dd title={exact(Date.parse(boot()), zone())}>
              <Age since={boot()} /> ago
            </dd>
          </>
        )}
      </Show>
      <dt>Has</dt>
      <dd>
        {plural(props.vpp.vips, "VIP")}, {plural(props.vpp.application_servers, "application server")}
      </dd>
      <dt>Sources</dt>
      <dd class="mono">
        {conf()?.ipv4_source ?? "unset"}
        <br />
        {conf()?.ipv6_source ?? "unset"}
      </dd>
      <dt>Sticky table</dt>
      <dd>
        {conf()?.sticky_buckets_per_core ?? "unknown"} buckets per core, flows forgotten after{" "}
        {conf()?.flow_timeout_s ?? "unknown"} s
      </dd>
      <dt>Read</dt>
      <dd>
        state <Age since={props.vpp.dump_at} /> ago, counters <Age since={props.vpp.counters_at} /> ago
      </dd>
    </dl>
  );
}

//! Builds and runs the parts of `maglevd`.

use std::sync::Arc;

use maglev_agent::{Agent, AgentOptions, VppConnector, VppMetrics, Watchdog};
use maglev_build_info::{COMMIT, VERSION};
use maglev_health::{HealthOptions, LoopBeat, NetworkNamespace, ProbeThread};
use maglev_kube::{AcceptedRemovals, ClientOptions, ClientPurpose, Delays, WatchOptions, Watches, client};
use maglev_model::event::Events;
use maglev_telemetry::{HttpServer, Subscriber, TaskGroup, ViewSnapshot};
use prometheus::Registry;
use tokio::sync::watch;

use crate::{
    auth::{Auth, auth},
    flags::Flags,
    grpc,
};

/// Events, snapshots and metrics of all parts.
pub struct Telemetry {
    pub events: Events,
    pub follow: Subscriber,
    pub snapshots: watch::Receiver<ViewSnapshot>,
    pub registry: Registry,
}

/// Runs until a signal arrives or a part ends. VPP is left unchanged in both cases.
pub async fn run(flags: Flags, telemetry: Telemetry) -> anyhow::Result<()> {
    let mut parts = TaskGroup::new()?;
    start(&flags, telemetry, &mut parts).await?;
    Ok(parts.run("maglevd").await?)
}

async fn start(flags: &Flags, telemetry: Telemetry, parts: &mut TaskGroup) -> anyhow::Result<()> {
    let stop = parts.shutdown();
    let Telemetry { events, follow, snapshots, registry } = telemetry;
    let node_name = flags.node_name()?;
    let (api, stats) = (&flags.vpp_api_socket, flags.vpp_stats_socket.display());
    tracing::info!(version = VERSION, commit = COMMIT, node = node_name, api = %api.display(), %stats, "maglevd-start");

    // First: fails if maglevd lacks the privileges for probes.
    let probes = ProbeThread::start(flags.probe_network_namespace.as_deref().map(NetworkNamespace::from))?;
    let icmp_missing = probes.icmp_missing().map(str::to_owned);

    let (kubeconfig, purpose) = (flags.kubeconfig.clone(), ClientPurpose::Agent);
    let client = client::client(ClientOptions { kubeconfig, purpose, ..ClientOptions::default() }).await?;
    let auth = auth(flags, &client, &registry)?;
    let (allow_loopback, delays) = (flags.allow_loopback, Delays::default());
    let services = flags.services;
    let options = WatchOptions { node_name: node_name.clone(), allow_loopback, icmp_missing, services, delays };
    let (accepted, accepted_rx) = AcceptedRemovals::new(client.clone(), node_name.clone(), delays);
    let (mut watches, config_rx) = Watches::new(client, options, events.clone());
    watches.register(&registry)?;

    let options = HealthOptions::new(VERSION, fastrand::u64(..));
    options.metrics.register(&registry)?;
    options.path_metrics.register(&registry)?;
    options.beat.register(&registry)?;
    options.last_probes.register(&registry)?;
    let (last_probes, path_prober) = (options.last_probes.clone(), options.path_prober.clone());
    let beat = options.beat.clone();
    let (health_rx, health) = probes.run(options, config_rx.clone(), events.clone(), stop.clone())?;

    let connect = VppConnector::new(api, events.clone()).with_stats(&flags.vpp_stats_socket);
    let counters = connect.stats();
    connect.register(&registry)?;
    registry.register(Box::new(VppMetrics::new(connect.stats(), config_rx.clone(), now)))?;
    let options = AgentOptions::new(node_name.clone(), api);
    options.metrics.register(&registry)?;
    let agent = Agent::new(options, connect, config_rx, health_rx, events).with_accepted_holds(accepted_rx);
    let sources = grpc::Inputs { follow, snapshots, counters, last_probes, path_prober, agent: &agent, auth: &auth };
    let grpc = grpc::server(flags, node_name, sources, &registry)?.start(stop.clone())?;
    let (status_rx, watchdog) = (agent.status(), Watchdogs { agent: agent.watchdog(), probes: beat });
    let (live, ready) = (Arc::new(move || watchdog.check()), Arc::new(move || status_rx.borrow().ready()));
    let Auth { metrics, certificate, keys, .. } = auth;
    let server = HttpServer::new(flags.metrics_addr(), registry, live, ready)?.with_guard(metrics);
    keys.into_iter().for_each(|keys| parts.spawn(keys.run(stop.clone())));
    certificate.into_iter().for_each(|certificate| parts.spawn(certificate.run(stop.clone())));

    let (watches, server, agent) = (watches.run(stop.clone()), server.run(stop.clone()), agent.run(stop.clone()));
    parts.spawn(watches);
    parts.spawn(accepted.run(stop));
    parts.spawn(server);
    parts.spawn_fallible(agent);
    parts.spawn_thread("the health checker", health);
    parts.spawn_thread("the gRPC server", grpc);
    Ok(())
}

/// The loops that `/healthz` checks.
struct Watchdogs {
    agent: Arc<Watchdog>,
    probes: LoopBeat,
}

impl Watchdogs {
    fn check(&self) -> Result<(), String> {
        self.agent.check().and_then(|()| self.probes.check())
    }
}

/// The current Unix time in seconds.
fn now() -> u64 {
    jiff::Timestamp::now().as_second().try_into().unwrap_or(0)
}

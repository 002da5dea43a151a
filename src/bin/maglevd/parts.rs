//! The parts of `maglevd` and what runs between them.

use std::{sync::Arc, time::Duration};

use anyhow::anyhow;
use futures::FutureExt as _;
use maglev::{
    agent::{Agent, AgentOptions, VppConnect, VppMetrics},
    health::{HealthOptions, NetworkNamespace, ProbeThread},
    k8s::{ClientOptions, Delays, WatchOptions, Watches, client},
    model::event::Events,
    telemetry::{HttpServer, Snapshot, Subscriber},
};
use prometheus::Registry;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    flags::{COMMIT, Flags, VERSION},
    grpc,
};

/// How long the parts have to end once asked to; VPP stays as it is either way.
const END_LIMIT: Duration = Duration::from_secs(5);

type Parts = JoinSet<anyhow::Result<()>>;

/// How the parts tell what they do.
pub(crate) struct Telemetry {
    pub(crate) events: Events,
    pub(crate) follow: Subscriber,
    pub(crate) snapshots: watch::Receiver<Snapshot>,
    pub(crate) registry: Registry,
}

/// Runs until a signal, or until a part ends by itself.
pub(crate) async fn run(flags: Flags, telemetry: Telemetry) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = CancellationToken::new();
    let mut parts = start(&flags, telemetry, &shutdown).await?;
    let result = tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
        // Kubernetes starts it anew, and VPP forwards meanwhile: better than to go on blind.
        ended = parts.join_next() => Err(match ended {
            Some(Ok(Err(err))) => err,
            Some(Err(err)) => err.into(),
            Some(Ok(Ok(()))) | None => anyhow!("a part ended by itself"),
        }),
    };
    tracing::info!(signal = result.as_ref().unwrap_or(&"none"), "maglevd-stop");
    shutdown.cancel();
    if tokio::time::timeout(END_LIMIT, async { while parts.join_next().await.is_some() {} }).await.is_err() {
        tracing::warn!(parts = parts.len(), "maglevd-stop-incomplete");
    }
    result.map(drop)
}

async fn start(flags: &Flags, telemetry: Telemetry, stop: &CancellationToken) -> anyhow::Result<Parts> {
    let Telemetry { events, follow, snapshots, registry } = telemetry;
    let node_name = flags.node_name()?;
    let (api, stats) = (&flags.vpp_api_socket, flags.vpp_stats_socket.display());
    tracing::info!(version = VERSION, commit = COMMIT, node = node_name, api = %api.display(), %stats, "maglevd-start");

    // First, for it is a matter of how maglevd was started whether it can probe.
    let probes = ProbeThread::start(flags.probe_network_namespace.as_deref().map(NetworkNamespace::from))?;
    let icmp_missing = probes.icmp_missing().map(str::to_owned);

    let client =
        client::client(ClientOptions { kubeconfig: flags.kubeconfig.clone(), ..ClientOptions::default() }).await?;
    let (allow_loopback, delays) = (flags.allow_loopback, Delays::default());
    let options = WatchOptions { node_name: node_name.clone(), allow_loopback, icmp_missing, delays };
    let (mut watches, config_rx) = Watches::new(client, options, events.clone());
    watches.register(&registry)?;

    let options = HealthOptions::new(VERSION, fastrand::u64(..));
    options.metrics.register(&registry)?;
    options.book.register(&registry)?;
    let book = options.book.clone();
    let (health_rx, health) = probes.run(options, config_rx.clone(), events.clone(), stop.clone())?;

    let connect = Arc::new(VppConnect::new(api, events.clone()).with_stats(&flags.vpp_stats_socket));
    let counters = connect.stats();
    connect.register(&registry)?;
    registry.register(Box::new(VppMetrics::new(connect.stats(), config_rx.clone(), now)))?;
    let options = AgentOptions::new(node_name.clone(), api);
    options.metrics.register(&registry)?;
    let agent = Agent::new(options, connect, config_rx, health_rx, events);
    let sources = grpc::Inputs { follow, snapshots, counters, book, agent: &agent };
    let grpc = grpc::server(flags, node_name, sources, &registry)?.start(stop.clone())?;
    let (status_rx, beat) = (agent.status(), agent.beat());
    let (live, ready) = (Arc::new(move || beat.alive()), Arc::new(move || status_rx.borrow().ready()));
    let server = HttpServer::new(flags.metrics_addr(), registry, live, ready);

    let (watches, server, agent) = (watches.run(stop.clone()), server.run(stop.clone()), agent.run(stop.clone()));
    let mut parts = Parts::new();
    parts.spawn(watches.map(Ok));
    parts.spawn(server.map(Ok));
    parts.spawn(async { Ok(agent.await?) });
    parts.spawn_blocking(|| health.join().map_err(|_| anyhow!("the health checker panicked")));
    parts.spawn_blocking(|| grpc.join().map_err(|_| anyhow!("the gRPC server panicked")));
    Ok(parts)
}

/// Now, in Unix seconds.
fn now() -> u64 {
    jiff::Timestamp::now().as_second().try_into().unwrap_or(0)
}

//! Connects the gRPC server with the other parts.

use std::sync::Arc;

use futures::FutureExt as _;
use jiff::Timestamp;
use maglev_agent::{Agent, Publication, SyncRefused};
use maglev_build_info::{BUILD_DATE, COMMIT, VERSION};
use maglev_health::{LastProbes, PathProber};
use maglev_rpc::{
    Server, ServerOptions,
    server::{GrpcMetrics, Identity, Sources, SyncRefusal},
};
use maglev_telemetry::{Subscriber, ViewSnapshot};
use prometheus::Registry;
use tokio::sync::watch;

use crate::{auth::Auth, flags::Flags};

/// The data that the gRPC server serves.
pub struct Inputs<'a> {
    pub follow: Subscriber,
    pub snapshots: watch::Receiver<ViewSnapshot>,
    pub counters: watch::Receiver<Publication>,
    pub last_probes: LastProbes,
    pub path_prober: PathProber,
    pub agent: &'a Agent,
    pub auth: &'a Auth,
}

/// Builds the server without starting it.
pub fn server(
    flags: &Flags,
    node: String,
    inputs: Inputs<'_>,
    registry: &Registry,
) -> Result<Server, prometheus::Error> {
    let (version, commit, build_date) = (VERSION.into(), COMMIT.into(), BUILD_DATE.into());
    let identity = Identity { node, version, commit, build_date, started: Timestamp::now() };
    let Inputs { follow, snapshots, counters, last_probes, path_prober, agent, auth } = inputs;
    let handle = agent.handle();
    let sources = Sources {
        events: follow,
        snapshots,
        dumps: agent.dumps(),
        counters,
        ready: agent.readiness(),
        probing: Arc::new(move |name| last_probes.get(name)),
        probe_paths: Arc::new(move |name| {
            let prober = path_prober.clone();
            async move { prober.probe(name).await }.boxed()
        }),
        sync: Arc::new(move || {
            let handle = handle.clone();
            async move { handle.sync_now().await.map_err(|refused| refusal(&refused)) }.boxed()
        }),
    };
    let metrics = GrpcMetrics::default();
    metrics.register(registry)?;
    let mut options = ServerOptions::new(flags.grpc_addrs(), identity);
    options.guard = auth.grpc.clone();
    options.tls = auth.certificate.clone().map(|certificate| (flags.grpc_tls_addrs(), certificate));
    Ok(Server::new(options, sources, metrics))
}

fn refusal(refused: &SyncRefused) -> SyncRefusal {
    let why = refused.to_string();
    match refused {
        SyncRefused::WarmingUp | SyncRefused::Disconnected => SyncRefusal::NotYet(why),
        SyncRefused::Unavailable => SyncRefusal::Unavailable(why),
    }
}

//! The gRPC server of an agent without the agent: the real event bus and server; all other data is set by the test.

use std::{net::SocketAddr, sync::Arc};

use futures::FutureExt as _;
use jiff::Timestamp;
use prometheus::{Registry, TextEncoder};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::within;
use maglev_model::{
    actual::LbDump,
    counters::StatsSnapshot,
    event::{Events, Level},
};
use maglev_rpc::{
    Server, ServerOptions,
    client::AgentClient,
    server::{GrpcMetrics, Identity, Sources},
};
use maglev_telemetry::{Bus, BusLimits, BusOptions, ViewSnapshot};

/// Limits low enough to be reached in tests.
pub const LOW_LIMITS: BusLimits = BusLimits { batch_events: 8, queued_batches: 4, retained_events: 64 };

pub struct AgentServer {
    pub events: Events,
    pub snapshots: watch::Receiver<ViewSnapshot>,
    pub dump: watch::Sender<Option<Arc<LbDump>>>,
    pub counters: watch::Sender<Option<Arc<StatsSnapshot>>>,
    ready: watch::Sender<Result<(), String>>,
    metrics: GrpcMetrics,
    pub address: SocketAddr,
    /// The address with TLS, if the test configured one.
    pub tls_address: Option<SocketAddr>,
    shutdown: CancellationToken,
    bus: JoinHandle<()>,
    server: JoinHandle<()>,
}

impl AgentServer {
    pub async fn start(epoch: u64, limits: BusLimits) -> Self {
        Self::start_with(epoch, limits, |_, _| {}).await
    }

    pub async fn start_with(
        epoch: u64,
        limits: BusLimits,
        change: impl FnOnce(&mut ServerOptions, &mut Sources),
    ) -> Self {
        let options = BusOptions { log_level: Level::Info, clock: Timestamp::now, epoch };
        let bus = Bus::with_limits(options, limits);
        let (dump, counters) = (watch::Sender::default(), watch::Sender::default());
        let ready = watch::Sender::new(Err("waiting for VPP".to_owned()));
        let mut sources = Sources {
            events: bus.subscriber(),
            snapshots: bus.snapshots(),
            dumps: dump.subscribe(),
            counters: counters.subscribe(),
            ready: ready.subscribe(),
            probing: Arc::new(|_| None),
            probe_paths: Arc::new(|_| async { Vec::new() }.boxed()),
            sync: Arc::new(|| async { Ok(()) }.boxed()),
        };
        let mut options = ServerOptions::new(vec![([127, 0, 0, 1], 0).into()], identity());
        change(&mut options, &mut sources);
        let (events, snapshots, metrics) = (bus.events(), bus.snapshots(), GrpcMetrics::default());
        let has_tls = options.tls.is_some();
        let server = Server::new(options, sources, metrics.clone());
        let (mut bound, mut bound_tls, shutdown) = (server.bound(), server.bound_tls(), CancellationToken::new());
        let bus = tokio::spawn(bus.run(shutdown.clone()));
        let server = tokio::spawn(server.run(shutdown.clone()));
        let address = within(bound.wait_for(|bound| !bound.is_empty())).await.expect("the server runs")[0];
        let tls_address = match has_tls {
            true => {
                within(bound_tls.wait_for(|bound| !bound.is_empty())).await.expect("the server runs").first().copied()
            }
            false => None,
        };
        Self { events, snapshots, dump, counters, ready, metrics, address, tls_address, shutdown, bus, server }
    }

    /// A client with its own connection.
    pub async fn client(&self) -> AgentClient {
        let endpoint = AgentClient::endpoint(format!("http://{}", self.address)).expect("the address is a URI");
        AgentClient::new(within(endpoint.connect()).await.expect("the server accepts connections"))
    }

    /// Waits until the snapshot includes all events up to this number.
    pub async fn settled(&self, seq: u64) -> ViewSnapshot {
        let mut snapshots = self.snapshots.clone();
        within(snapshots.wait_for(|snapshot| snapshot.as_of.seq >= seq)).await.expect("the bus runs").clone()
    }

    pub fn set_ready(&self, ready: Result<(), &str>) {
        let _ = self.ready.send_replace(ready.map_err(str::to_owned));
    }

    /// The server's metrics in Prometheus format.
    pub fn metrics(&self) -> String {
        let registry = Registry::new();
        self.metrics.register(&registry).expect("a fresh registry");
        TextEncoder::new().encode_to_string(&registry.gather()).expect("valid metrics")
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        within(self.bus).await.expect("the task does not panic");
        within(self.server).await.expect("the task does not panic");
    }
}

pub fn identity() -> Identity {
    Identity {
        node: "node-a".into(),
        version: "1.2.3".into(),
        commit: "abc".into(),
        build_date: "2026-11-25".into(),
        started: Timestamp::from_second(1_790_000_000).expect("a valid time"),
    }
}

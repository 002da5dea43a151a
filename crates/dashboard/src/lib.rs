//! The dashboard's server: keeps the state of all nodes and sends it to browsers.
//!
//! ```text
//! fleet: nodes, updates ──┐
//! kube: objects ──────────┴▶ updater ─▶ state ─┬▶ Snapshot ─▶ documents ─┐
//!                                              └▶ messages ─▶ broker ────┴▶ HTTP, Server-Sent Events ─▶ browsers
//! browsers ──POST──▶ sessions ─▶ admin ─▶ fleet::operator_change ─▶ API server
//! ```
//!
//! The page only folds messages; the server computes everything that it shows. Replicas share no state: the position in
//! each agent's sequence of changes decides which of two documents is newer. `sessions` signs users in, for reading or for
//! changes. Only `admin` writes to the API server, if operator changes are enabled.

mod access;
mod admin;
mod assets;
mod broker;
mod client;
#[cfg(test)]
mod contract;
mod detail;
mod document;
mod document_cache;
mod documents;
mod error;
mod event_id;
mod heartbeat_subscription;
mod heartbeats;
mod inputs;
mod message;
mod metrics;
mod options;
mod patch;
mod query;
mod request_error;
mod responses;
mod routes;
mod server;
mod sessions;
mod state;
mod stream;
mod traffic;
mod updater;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use jiff::Timestamp;
use prometheus::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::{
    access::{Access, AllowedHosts},
    admin::Admin,
    broker::Broker,
    document::{AgentSelector, Time},
    document_cache::DocumentCache,
    metrics::Metrics,
    server::Server,
    sessions::Sessions,
    state::{DashboardState, Snapshot},
    updater::Updater,
};
pub use self::{
    error::Error,
    options::{Build, Clock, DashboardOptions, SignInMode, SignInOptions},
};
use maglev_fleet::FleetHandle;
use maglev_kube::objects::Objects;
use maglev_net::{ConnectionMetrics, Connections, Slots};

/// Maximum number of event streams.
const MAX_STREAMS: usize = 2000;
/// Maximum number of event streams of one client address.
const MAX_STREAMS_PER_CLIENT: usize = 16;

/// A dashboard that is not running yet.
pub struct Dashboard {
    updater: Updater,
    servers: Vec<Server>,
    shared: Arc<Shared>,
}

/// State that all requests share.
struct Shared {
    fleet: FleetHandle,
    broker: Arc<Broker>,
    snapshot_rx: watch::Receiver<Arc<Snapshot>>,
    build: Build,
    started: Time,
    ping: Duration,
    shutdown: CancellationToken,
    sessions: Option<Arc<Sessions>>,
    admin: Option<Arc<Admin>>,
    access: Arc<Access>,
    documents: DocumentCache,
    /// Slots of documents that are being sent.
    slots: Slots,
    /// Slots of event streams.
    streams: Slots,
}

impl Shared {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot_rx.borrow())
    }
}

impl Dashboard {
    /// Creates a dashboard of `fleet`; `objects_rx` is `None` without access to the API server.
    ///
    /// # Errors
    /// If a metric is already registered, or a file for signing in is missing or invalid.
    pub fn new(
        fleet: FleetHandle,
        objects_rx: Option<watch::Receiver<Objects>>,
        options: DashboardOptions,
        registry: &Registry,
    ) -> Result<Self, Error> {
        let metrics = Metrics::new().map_err(Error::Metric)?;
        metrics.register(registry).map_err(Error::Metric)?;
        let hosts = AllowedHosts::new(&options.allowed_hosts);
        let proxies = options.trusted_proxies;
        let access = Arc::new(Access { hosts, proxies: proxies.clone(), metrics: metrics.clone() });
        let sign_in = options.sign_in.map(|options| Sessions::new(options, metrics.clone()).map(Arc::new));
        let sessions = sign_in.transpose()?;
        let broker = Arc::new(Broker::new(options.replica, options.buffer, metrics));
        let kubernetes = if objects_rx.is_some() { "unavailable" } else { "none" };
        let state = DashboardState::new(AgentSelector::new(options.namespace.as_deref()), kubernetes);
        let updater = Updater::new(fleet.clone(), objects_rx, state, Arc::clone(&broker));
        let may_change = sessions.as_ref().filter(|sessions| sessions.allow_changes());
        let admin = may_change.map(|sessions| Arc::new(Admin::new(Arc::clone(sessions), fleet.clone())));
        let shared = Arc::new(Shared {
            fleet,
            broker,
            snapshot_rx: updater.snapshot(),
            build: options.build,
            started: Time(Timestamp::now()),
            ping: options.ping,
            shutdown: CancellationToken::new(),
            sessions,
            admin,
            access,
            documents: DocumentCache::default(),
            slots: Slots::for_large_responses(),
            streams: Slots::new(MAX_STREAMS, MAX_STREAMS_PER_CLIENT),
        });
        let metrics = ConnectionMetrics::new(server::SERVER);
        metrics.register(registry).map_err(Error::Metric)?;
        let connections = Connections::behind_proxies(server::SERVER, options.connections, metrics, proxies);
        let server = |address| Server::new(address, connections.clone());
        let servers = options.addresses.into_iter().map(server).collect();
        Ok(Self { updater, servers, shared })
    }

    /// The bound addresses, in the order of the options; `None` until a server listens.
    pub fn bound(&self) -> Vec<watch::Receiver<Option<SocketAddr>>> {
        self.servers.iter().map(Server::bound).collect()
    }

    /// Runs until `shutdown`. Returns once every stream has ended.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let router = routes::site(Arc::clone(&self.shared));
            let servers = self.servers.into_iter().map(|server| server.run(router.clone(), shutdown.clone()));
            let streams_end = async {
                shutdown.cancelled().await;
                self.shared.shutdown.cancel();
            };
            let servers = futures::future::join_all(servers);
            tokio::join!(self.updater.run(shutdown.clone()), servers, streams_end);
        }
        .boxed()
    }
}

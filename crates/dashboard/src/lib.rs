//! The live page of all nodes: what it shows, kept current, and the HTTP that brings it to browsers.
//!
//! ```text
//! fleet: nodes, updates ──┐
//! k8s: objects ───────────┴▶ keeper ─▶ board ─┬▶ Glance ─▶ documents ─┐
//!                                             └▶ messages ─▶ broker ──┴▶ HTTP, Server-Sent Events ─▶ browsers
//! browsers ──POST──▶ admin ─▶ fleet::by_hand ─▶ API server
//! ```
//!
//! The page only folds: everything that is decided is decided here. Replicas know nothing of each other; each node's
//! place in its agent's sequence says what is newer. Nothing here writes anything anywhere but
//! `admin`, where that is on.

mod admin;
mod assets;
mod beats;
mod board;
mod broker;
mod detail;
mod document;
mod documents;
mod event_id;
mod inputs;
mod keeper;
mod message;
mod metrics;
mod patch;
mod query;
mod routes;
mod server;
mod showing;
mod stream;
mod traffic;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use jiff::Timestamp;
use prometheus::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::admin::{AdminMode, AdminOptions, Clock};
use self::{
    admin::Admin,
    board::{Board, Glance},
    broker::Broker,
    document::{LookedFor, Time},
    keeper::Keeper,
    metrics::Metrics,
    server::Server,
};
use maglev_fleet::FleetHandle;
use maglev_kube::objects::Objects;

/// What a dashboard is told at its start.
#[derive(Debug)]
pub struct DashboardOptions {
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    pub build: Build,
    /// Where agents are looked for: a namespace, or `None` for all.
    pub namespace: Option<String>,
    /// Between two signs of life on a stream.
    pub ping: Duration,
    /// Messages that may wait for one page before it is disconnected; [`DashboardOptions::WAITING`] is enough.
    pub waiting: usize,
    /// This process's part of every message's id: a random number.
    pub replica: u64,
    /// Who may change things with it; nobody where absent.
    pub admin: Option<AdminOptions>,
}

impl DashboardOptions {
    /// Messages that may wait for one page. One that reads so little is better off coming back.
    pub const WAITING: usize = 512;
}

#[derive(Clone, Debug)]
pub struct Build {
    pub version: &'static str,
    pub commit: &'static str,
    /// When it was built, where the builder said so.
    pub build_date: Option<&'static str>,
}

/// What can go wrong at start-up; later nothing here is an error for the caller: what signing in needs may become
/// unreadable, and then the browser and the log are told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A metric is already registered, or its name is not allowed.
    #[error("cannot register the dashboard's metrics")]
    Metric(#[source] prometheus::Error),
    /// A file that signing in needs cannot be read.
    #[error("cannot read {}", path.display())]
    AdminFile {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A user's name or a password is empty.
    #[error("{} is empty", path.display())]
    AdminEmpty {
        /// Where it should stand.
        path: PathBuf,
    },
    /// The secret that cookies are sealed with could be guessed.
    #[error("{} has {found} bytes, but at least {} are needed", path.display(), AdminOptions::KEY_BYTES)]
    AdminKey {
        /// Where it stands.
        path: PathBuf,
        /// How long it is.
        found: usize,
    },
}

impl Error {
    /// The fixed word for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Metric(_) => "MetricRejected",
            Self::AdminFile { .. } => "AdminFileUnreadable",
            Self::AdminEmpty { .. } => "AdminFileEmpty",
            Self::AdminKey { .. } => "AdminKeyTooShort",
        }
    }

    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        false
    }
}

/// The dashboard before it runs.
pub struct Dashboard {
    keeper: Keeper,
    servers: Vec<Server>,
    shared: Arc<Shared>,
}

/// What every request needs.
struct Shared {
    fleet: FleetHandle,
    broker: Arc<Broker>,
    glance_rx: watch::Receiver<Arc<Glance>>,
    build: Build,
    started: Time,
    ping: Duration,
    shutdown: CancellationToken,
    admin: Option<Arc<Admin>>,
}

impl Shared {
    /// What there is to read now.
    fn glance(&self) -> Arc<Glance> {
        Arc::clone(&self.glance_rx.borrow())
    }
}

impl Dashboard {
    /// A dashboard of `fleet`, and of what Kubernetes says of our objects, where it can be asked.
    ///
    /// # Errors
    /// If the registry has its metrics already, or if a file that signing in needs cannot be used.
    pub fn new(
        fleet: FleetHandle,
        objects_rx: Option<watch::Receiver<Objects>>,
        options: DashboardOptions,
        registry: &Registry,
    ) -> Result<Self, Error> {
        let metrics = Metrics::new().map_err(Error::Metric)?;
        metrics.register(registry).map_err(Error::Metric)?;
        let broker = Arc::new(Broker::new(options.replica, options.waiting, metrics));
        let kubernetes = if objects_rx.is_some() { "unavailable" } else { "none" };
        let board = Board::new(LookedFor::new(options.namespace.as_deref()), kubernetes);
        let keeper = Keeper::new(fleet.clone(), objects_rx, board, Arc::clone(&broker));
        let admin = options.admin.map(|admin| Arc::new(Admin::new(admin, fleet.clone())));
        admin.as_ref().map_or(Ok(()), |admin| admin.check())?;
        let shared = Arc::new(Shared {
            fleet,
            broker,
            glance_rx: keeper.glance(),
            build: options.build,
            started: Time(Timestamp::now()),
            ping: options.ping,
            shutdown: CancellationToken::new(),
            admin,
        });
        let servers = options.addresses.into_iter().map(Server::new).collect();
        Ok(Self { keeper, servers, shared })
    }

    /// Where it listens, once it does; in the order of the addresses.
    pub fn bound(&self) -> Vec<watch::Receiver<Option<SocketAddr>>> {
        self.servers.iter().map(Server::bound).collect()
    }

    /// Runs until `shutdown`; every stream has ended when it returns.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let router = routes::site(Arc::clone(&self.shared));
            let servers = self.servers.into_iter().map(|server| server.run(router.clone(), shutdown.clone()));
            let streams_end = async {
                shutdown.cancelled().await;
                self.shared.shutdown.cancel();
            };
            let servers = futures::future::join_all(servers);
            tokio::join!(self.keeper.run(shutdown.clone()), servers, streams_end);
        }
        .boxed()
    }
}

//! The data plane: VPP's lb plugin over its API socket.
//!
//! ```text
//!  VppConnector ──connect──▶ Dataplane ── Lb ──────── VPP's API socket
//!                                      └─ Publisher ─ VPP's stats socket
//! ```

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt};

use prometheus::Registry;
use tokio::sync::watch;

use super::stats::{Publication, Publisher, PublisherOptions, SharedTotals};
use maglev_model::{
    ServerMap,
    actual::{Actual, ActualAs, ActualConf, VppVip},
    event::Events,
    plan::Step,
};
use maglev_vpp::{
    self as vpp,
    error::{CloseReason, Error},
    lb::{ConfCache, Lb, LbReading},
    session::{Dial, SessionOptions},
};

/// Client name in `show api clients`.
const CLIENT_NAME: &str = "maglevd";

/// Interval between readings of the counters.
const STATS_INTERVAL: Duration = Duration::from_secs(5);

/// Properties of the connected VPP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataplaneInfo {
    pub version: String,
    pub build_date: String,
    /// Process id. A new process has lost the state of the previous one.
    pub pid: u32,
    /// The API socket.
    pub api: String,
    /// The stats socket; empty if unused.
    pub stats: String,
    /// Supported features, for the log.
    pub capabilities: String,
}

/// Failure of a request to VPP.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataplaneError {
    /// VPP replied with an error, so the cached state may be wrong.
    #[error("{0}")]
    Refused(String),
    /// The session goes on, but this request has no reply: VPP dropped it, or it was never sent. The result is unknown.
    #[error("{0}")]
    Unanswered(String),
    /// The session ended.
    #[error("{0}")]
    Closed(String),
}

/// End of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEnd {
    pub reason: String,
    /// A reply missed its deadline. VPP's main thread may be busy, so the next session gets a longer deadline.
    pub expired: bool,
}

/// An upper bound of the tracked flows of each application server. Absent where VPP does not report it.
pub type ServerFlows = BTreeMap<VppVip, ServerMap<u32>>;

/// VPP's state as of one moment.
#[derive(Clone, Debug, Default)]
pub struct VppReading {
    pub actual: Actual,
    pub flows: ServerFlows,
}

/// A reply to come.
pub type ReplyFuture<T> = BoxFuture<'static, Result<T, DataplaneError>>;

/// Connects to one VPP and publishes the counters of the connected VPP.
#[derive(Clone, Debug)]
pub struct VppConnector {
    api_socket: PathBuf,
    events: Events,
    publication: PublisherOptions,
    frequent_tx: watch::Sender<bool>,
    conf_cache: ConfCache,
    messages: vpp::Metrics,
    dial: Dial,
}

impl VppConnector {
    /// A connector to the VPP that listens on `api_socket`.
    pub fn new(api_socket: &Path, events: Events) -> Self {
        let frequent_tx = watch::Sender::new(false);
        let publication = PublisherOptions {
            socket: None,
            interval: STATS_INTERVAL,
            totals: SharedTotals::default(),
            publication_tx: Arc::default(),
            frequent_rx: frequent_tx.subscribe(),
        };
        Self {
            api_socket: api_socket.to_owned(),
            events,
            publication,
            frequent_tx,
            conf_cache: ConfCache::default(),
            messages: vpp::Metrics::default(),
            dial: Dial::default(),
        }
    }

    /// Also reads the counters, from the stats socket at `path`. An unavailable stats socket does not prevent sessions;
    /// opening it is retried with each reading.
    pub fn with_stats(mut self, path: &Path) -> Self {
        self.publication.socket = Some(path.to_owned());
        self
    }

    /// Sets the interval between readings of the counters. Default: 5 s.
    pub fn with_stats_interval(mut self, interval: Duration) -> Self {
        self.publication.interval = interval;
        self
    }

    /// Opens the streams of the sessions with `dial`. Default: the Unix socket.
    pub fn with_dial(mut self, dial: Dial) -> Self {
        self.dial = dial;
        self
    }

    /// Registers the metrics of the API sessions.
    ///
    /// # Errors
    /// A metric name is already registered.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        self.messages.register(registry)
    }

    /// The counters of the connected VPP; `None` without a session.
    pub fn stats(&self) -> watch::Receiver<Publication> {
        self.publication.publication_tx.subscribe()
    }

    /// A switch for readings of the counters every second, beside those of the interval.
    pub fn frequent_readings(&self) -> watch::Sender<bool> {
        self.frequent_tx.clone()
    }

    /// Connects. Each reply must arrive within `deadline` of the previous one.
    pub fn connect(&self, deadline: Duration) -> ReplyFuture<Arc<Dataplane>> {
        let (path, publication) = (self.api_socket.clone(), self.publication.clone());
        let (events, metrics) = (self.events.clone(), self.messages.clone());
        let dial = self.dial.clone();
        let options = SessionOptions { deadline, metrics, dial, ..SessionOptions::new(CLIENT_NAME, events) };
        let conf_cache = self.conf_cache.clone();
        async move {
            let lb = Lb::connect_with_cache(&path, options, conf_cache).await.map_err(|error| convert(&error))?;
            let publisher = Publisher::start(lb.clone(), publication).await;
            let info = DataplaneInfo {
                version: lb.info().version.clone(),
                build_date: lb.info().build_date.clone(),
                pid: lb.info().pid,
                api: path.display().to_string(),
                stats: publisher.socket(),
                capabilities: lb.info().capabilities.to_string(),
            };
            Ok(Arc::new(Dataplane { lb, info, publisher }))
        }
        .boxed()
    }
}

/// A connected VPP. Every method sends its request before it returns; VPP executes requests in the order in which
/// they were sent.
pub struct Dataplane {
    lb: Lb,
    info: DataplaneInfo,
    /// Ends its publication when it is dropped with the session.
    publisher: Publisher,
}

impl Dataplane {
    pub fn info(&self) -> &DataplaneInfo {
        &self.info
    }

    /// Reads the global settings.
    pub fn conf(&self) -> ReplyFuture<ActualConf> {
        reply(self.lb.conf())
    }

    /// Writes the global settings.
    pub fn set_conf(&self, conf: ActualConf) -> ReplyFuture<()> {
        reply(self.lb.set_conf(conf))
    }

    /// Reads all VIPs and application servers, as of one moment between two steps. What has not changed since the reading
    /// `before` shares its memory.
    pub fn read(&self, before: VppReading) -> ReplyFuture<VppReading> {
        let VppReading { actual, flows } = before;
        let read = self.lb.read_all(LbReading { actual, flows, ..LbReading::default() });
        let indexes = self.publisher.indexes();
        reply(async move {
            let reading = read.await?;
            indexes.update(&reading);
            let LbReading { actual, flows, .. } = reading;
            Ok(VppReading { actual, flows })
        })
    }

    /// Reads the application servers of one VIP, as of one moment between two steps; `None` if VPP cannot select a VIP.
    pub fn read_servers(&self, vip: VppVip) -> Option<ReplyFuture<ServerMap<ActualAs>>> {
        self.lb.read_servers(vip).map(reply)
    }

    /// Collects the garbage of a VPP that does not collect by itself; `None` for any other VPP. Resolves to true if there
    /// was garbage.
    pub fn collect_garbage(&self) -> Option<ReplyFuture<bool>> {
        self.lb.collect_garbage().map(reply)
    }

    /// Executes a step.
    pub fn step(&self, step: &Step) -> ReplyFuture<()> {
        match step {
            Step::AddVip { vip, encap, sticky, table_length } => {
                reply(self.lb.add_vip(*vip, *encap, *sticky, *table_length))
            }
            Step::RemoveVip { vip, .. } => reply(self.lb.remove_vip(*vip)),
            // The flush drops flows still pinned to an earlier incarnation of the server; a new server has none.
            Step::AddAs { vip, address, weight, .. } => reply(self.lb.add_as((*vip).into(), *address, *weight, true)),
            Step::RemoveAs { vip, address, flush, .. } => reply(self.lb.remove_as(*vip, *address, *flush)),
            Step::SetWeight { vip, address, to, flush, .. } => {
                reply(self.lb.set_weight((*vip).into(), *address, *to, *flush))
            }
        }
    }

    /// Checks that VPP responds.
    pub fn ping(&self) -> ReplyFuture<()> {
        let ping = self.lb.ping();
        reply(async move {
            match ping.await {
                // Requests are outstanding, and their deadline checks the session.
                Err(Error::QueueFull { .. }) => Ok(()),
                result => result,
            }
        })
    }

    /// Ends the session because a ping failed with `error`.
    pub fn close(&self, error: &DataplaneError) {
        self.lb.session().close(CloseReason::Ping(error.to_string()));
    }

    /// Resolves when the session has ended.
    pub fn closed(&self) -> BoxFuture<'static, SessionEnd> {
        let closed = self.lb.closed();
        async move {
            let reason = closed.await;
            SessionEnd { expired: reason.is_deadline(), reason: reason.to_string() }
        }
        .boxed()
    }
}

fn reply<T>(reply: impl Future<Output = Result<T, Error>> + Send + 'static) -> ReplyFuture<T> {
    reply.map(|result| result.map_err(|error| convert(&error))).boxed()
}

fn convert(error: &Error) -> DataplaneError {
    let text = maglev_net::error_chain(error);
    match error {
        Error::Closed { .. } | Error::Malformed { .. } => DataplaneError::Closed(text),
        Error::Unanswered { .. } | Error::QueueFull { .. } => DataplaneError::Unanswered(text),
        _ => DataplaneError::Refused(text),
    }
}

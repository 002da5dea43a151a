//! The real data plane: VPP's lb plugin over its API socket.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt};

use prometheus::Registry;
use tokio::sync::watch;

use super::{
    dataplane::{Answer, Connect, Dataplane, DataplaneError, DataplaneInfo, Ended},
    stats::{Publication, Published, Publisher},
};
use maglev_model::{
    actual::{Actual, ActualConf},
    event::Events,
    plan::Step,
};
use maglev_vpp::{
    self as vpp,
    error::Error,
    lb::{ConfMemory, Lb},
    session::SessionOptions,
};

/// The name under which VPP lists us (`show api clients`).
const CLIENT_NAME: &str = "maglevd";

/// How often the counters are read.
const STATS_EVERY: Duration = Duration::from_secs(5);

/// Connects to a VPP, and publishes what is known of the one it is connected to.
#[derive(Clone, Debug)]
pub struct VppConnect {
    api_socket: PathBuf,
    events: Events,
    stats_socket: Option<PathBuf>,
    stats_every: Duration,
    published: Arc<Published>,
    memory: ConfMemory,
    messages: vpp::Metrics,
}

impl VppConnect {
    /// A connector to the VPP that listens on `api_socket`.
    pub fn new(api_socket: &Path, events: Events) -> Self {
        Self {
            api_socket: api_socket.to_owned(),
            events,
            stats_socket: None,
            stats_every: STATS_EVERY,
            published: Arc::default(),
            memory: ConfMemory::default(),
            messages: vpp::Metrics::default(),
        }
    }

    /// The counters are read too, from the stats socket at `path`. Without it VPP is driven all the
    /// same, and the socket is tried again with each reading.
    pub fn with_stats(mut self, path: &Path) -> Self {
        self.stats_socket = Some(path.to_owned());
        self
    }

    /// How often the counters are read, instead of every 5 s.
    pub fn stats_every(mut self, every: Duration) -> Self {
        self.stats_every = every;
        self
    }

    /// Registers what the sessions count.
    ///
    /// # Errors
    /// One of the names is taken.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        self.messages.register(registry)
    }

    /// What is known of the VPP that is connected; `None` while none is.
    pub fn stats(&self) -> watch::Receiver<Publication> {
        self.published.subscribe()
    }
}

impl Connect for VppConnect {
    fn connect(&self, deadline: Duration) -> Answer<Arc<dyn Dataplane>> {
        let (path, stats_socket) = (self.api_socket.clone(), self.stats_socket.clone());
        let (published, every) = (Arc::clone(&self.published), self.stats_every);
        let (events, metrics) = (self.events.clone(), self.messages.clone());
        let options = SessionOptions { deadline, metrics, ..SessionOptions::new(CLIENT_NAME, events) };
        let memory = self.memory.clone();
        async move {
            let lb = Lb::connect_again(&path, options, memory).await.map_err(|error| failed(&error))?;
            let publisher = Publisher::start(lb.clone(), stats_socket, every, published).await;
            let info = DataplaneInfo {
                version: lb.info().version.clone(),
                build_date: lb.info().build_date.clone(),
                pid: lb.info().pid,
                api: path.display().to_string(),
                stats: publisher.socket(),
                capabilities: lb.info().capabilities.to_string(),
            };
            Ok(Arc::new(Vpp { lb, info, publisher }) as Arc<dyn Dataplane>)
        }
        .boxed()
    }
}

struct Vpp {
    lb: Lb,
    info: DataplaneInfo,
    /// Ends what it publishes when it is dropped, with the session.
    publisher: Publisher,
}

impl Dataplane for Vpp {
    fn info(&self) -> &DataplaneInfo {
        &self.info
    }

    fn conf(&self) -> Answer<ActualConf> {
        answer(self.lb.conf())
    }

    fn set_conf(&self, conf: ActualConf) -> Answer<()> {
        answer(self.lb.set_conf(conf))
    }

    fn read(&self) -> Answer<Actual> {
        let (read, indexes) = (self.lb.read(), self.publisher.indexes());
        answer(async move {
            let actual = read.await?;
            indexes.take(&actual);
            Ok(actual)
        })
    }

    fn step(&self, step: &Step) -> Answer<()> {
        match step {
            Step::AddVip { vip, encap, sticky, table_length } => {
                answer(self.lb.add_vip(*vip, *encap, *sticky, *table_length))
            }
            Step::RemoveVip { vip, .. } => answer(self.lb.remove_vip(*vip)),
            // The flush drops the pins of an earlier life of the same server; a new one has none.
            Step::AddAs { vip, address, weight, .. } => answer(self.lb.add_as((*vip).into(), *address, *weight, true)),
            Step::RemoveAs { vip, address, flush, .. } => answer(self.lb.remove_as(*vip, *address, *flush)),
            Step::SetWeight { vip, address, to, flush, .. } => {
                answer(self.lb.set_weight((*vip).into(), *address, *to, *flush))
            }
        }
    }

    fn ping(&self) -> Answer<()> {
        answer(self.lb.ping())
    }

    fn closed(&self) -> BoxFuture<'static, Ended> {
        let closed = self.lb.closed();
        async move {
            let reason = closed.await;
            Ended { expired: reason.is_deadline(), reason: reason.to_string() }
        }
        .boxed()
    }
}

fn answer<T>(reply: impl Future<Output = Result<T, Error>> + Send + 'static) -> Answer<T> {
    reply.map(|answer| answer.map_err(|error| failed(&error))).boxed()
}

fn failed(error: &Error) -> DataplaneError {
    let text = chain(error);
    match error {
        Error::Closed { .. } | Error::Malformed { .. } => DataplaneError::Closed(text),
        Error::Swallowed { .. } | Error::QueueFull { .. } => DataplaneError::Swallowed(text),
        _ => DataplaneError::Refused(text),
    }
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

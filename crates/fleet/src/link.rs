//! The connection to one agent: reconnects after failures, and runs the loops of each session.
//!
//! ```text
//!           ┌─ follower: WatchEvents from level info; the complete state after missed events ─▶ mirror
//! session ──┼─ poller: health, counters and dumps, as the mirror's loops require
//!           └─ probes: a second stream, only while there are subscriptions
//! ```
//!
//! A session ends as a whole when its stream ends or the agent does not answer. The mirror then keeps its state, and
//! resumes from it if the same run of the agent answers again.

mod dumps;
mod follower;
mod poller;
mod probes;

use std::{convert::Infallible, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use maglev_net::Backoff;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use self::follower::Follower;
use super::{
    Error, FleetOptions,
    mirror::Mirror,
    store::{LinkCounters, LinkState, NodeCell, Store},
    target::AgentTarget,
    update::FleetUpdate,
};
use maglev_rpc::client::AgentVersion;
use maglev_telemetry::AsOf;

/// The link to one agent.
pub struct AgentLink<M> {
    pub(crate) node: Arc<str>,
    pub(crate) target: AgentTarget,
    pub(crate) cell: Arc<NodeCell<M>>,
    pub(crate) store: Arc<Store<M>>,
    pub(crate) options: FleetOptions,
    /// Position of the last line that was published.
    pub(crate) published: Option<AsOf>,
}

impl<M: Mirror> AgentLink<M> {
    pub fn new(node: Arc<str>, target: AgentTarget, store: Arc<Store<M>>, options: FleetOptions) -> Self {
        let cell = store.add(&node, target.clone());
        Self { node, target, cell, store, options, published: None }
    }

    /// Keeps the connection until `end`. Starts once `before`, the link to the node's previous agent, has ended.
    pub fn run(mut self, before: Option<JoinHandle<()>>, end: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            if let Some(before) = before {
                // The panic hook has logged a panic of that task.
                let _ = before.await;
            }
            self.published = self.cell.state().as_of;
            let ended = end.clone();
            tokio::select! {
                () = ended.cancelled() => {}
                () = self.run_sessions() => {}
            }
        }
        .boxed()
    }

    async fn run_sessions(&mut self) {
        loop {
            let mut backoff = self.backoff();
            loop {
                let started = Instant::now();
                let Err(error) = self.session().await;
                let was_reporting = self.reporting();
                // The agent ends the streams of a connection at its maximum age. That is not a failure of the agent.
                let is_orderly = matches!(error, Error::Ended) && started.elapsed() > self.options.timings.retry_max;
                if was_reporting && is_orderly {
                    continue;
                }
                self.mark_failed(&error);
                if was_reporting {
                    break;
                }
                tokio::time::sleep(backoff.next_delay()).await;
            }
            // After a working session only the shortest delay: most sessions end because the agent restarts.
            tokio::time::sleep(self.backoff().next_delay()).await;
        }
    }

    fn backoff(&self) -> Backoff {
        let timings = self.options.timings;
        Backoff::new(timings.retry_min, timings.retry_max).with_jitter()
    }

    fn reporting(&self) -> bool {
        self.cell.state().reporting()
    }

    fn mark_failed(&self, error: &Error) {
        let text = error.describe();
        LinkCounters::count(&self.cell.link_counters.failures, 1);
        let now = (self.options.clock)();
        {
            let mut state = self.cell.state();
            // The first of several failures sets the time.
            let since = match &state.link {
                LinkState::Unreachable { since, .. } => *since,
                _ => {
                    tracing::warn!(node = &*self.node, agent = %self.target, error = text, "agent is unreachable");
                    now
                }
            };
            state.link = LinkState::Unreachable { error: text.into(), reason: error.reason(), since };
        }
        self.publish(FleetUpdate::Node(Arc::clone(&self.node)));
    }

    /// Connects, and runs all loops until one fails.
    async fn session(&mut self) -> Result<Infallible, Error> {
        let timings = self.options.timings;
        self.target.ensure_only()?;
        let open = async {
            let client = self.options.connector.connect(&self.target).await.map_err(Error::Connect)?;
            let version = client.version().await?;
            Ok::<_, Error>((client, version))
        };
        let (client, version) = timeout(timings.answer, open).await.map_err(|_| Error::late("connect"))??;
        self.check_version(version)?;
        let (changed_tx, changed_rx) = watch::channel(None);
        let node = Arc::clone(&self.node);
        let (cell, store, options) = (Arc::clone(&self.cell), Arc::clone(&self.store), self.options.clone());
        let poller = poller::Poller { node: Arc::clone(&node), cell, store, options, client: client.clone() };
        let follower = Follower::open(self, client, changed_tx).await?;
        let loops = M::LOOPS;
        tokio::select! {
            error = follower.run() => Err(error),
            error = poller.poll_health(), if loops.health => Err(error),
            never = poller.poll_counters(), if loops.counters => match never {},
            never = poller.poll_dumps(changed_rx), if loops.dumps => match never {},
            never = poller.follow_probes() => match never {},
        }
    }

    /// Checks that the agent is the expected one, and stores its version.
    fn check_version(&mut self, version: AgentVersion) -> Result<(), Error> {
        match &self.target.node {
            Some(node) if **node != *version.node => {
                let (expected, actual) = (node.to_string(), version.node);
                return Err(Error::OtherNode { expected, actual });
            }
            Some(_) => {}
            None if *self.node != *version.node => {
                let name: Arc<str> = version.node.as_str().into();
                if !self.store.rename(&self.node, &name) {
                    return Err(Error::SecondAgent { node: version.node });
                }
                self.node = name;
            }
            None => {}
        }
        LinkCounters::count(&self.cell.link_counters.connects, 1);
        let mut state = self.cell.state();
        state.version = Some(Arc::new(version));
        state.last_seen = Some((self.options.clock)());
        drop(state);
        self.publish(FleetUpdate::Node(Arc::clone(&self.node)));
        Ok(())
    }

    fn publish(&self, update: FleetUpdate) {
        self.store.publish(update);
    }
}

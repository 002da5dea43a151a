//! The connection to one agent: opened again and again, and what runs while it stands.
//!
//! ```text
//!           ┌─ follow: WatchEvents from info up, the whole state where something was missed ─▶ mirror
//! session ──┼─ health, counters, dumps: questions asked now and then, as the mirror's loops say
//!           └─ probes: a second stream, only while somebody wants it
//! ```
//!
//! A session ends as a whole when its stream ends or the agent does not answer; what is known then stays, and is
//! taken up where it was if the same run of the agent answers again.

mod dumps;
mod follow;
mod probes;
mod questions;

use std::{convert::Infallible, sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures::{FutureExt as _, future::BoxFuture};
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use self::follow::Follow;
use super::{
    Error, FleetOptions,
    mirror::Mirror,
    store::{Cell, Link as State, Store, Tally},
    target::Target,
    update::FleetUpdate,
};
use maglev_rpc::client::{AgentClient, AgentVersion};
use maglev_telemetry::AsOf;

/// The link to one agent.
pub struct Link<M> {
    pub(crate) node: Arc<str>,
    pub(crate) target: Target,
    pub(crate) cell: Arc<Cell<M>>,
    pub(crate) store: Arc<Store<M>>,
    pub(crate) options: FleetOptions,
    /// The last line that consumers were told.
    pub(crate) told: Option<AsOf>,
}

impl<M: Mirror> Link<M> {
    pub fn new(node: Arc<str>, target: Target, store: Arc<Store<M>>, options: FleetOptions) -> Self {
        let cell = store.add(&node, target.clone());
        Self { node, target, cell, store, options, told: None }
    }

    /// Keeps the connection until `end`. It begins once `before`, the link to the node's last agent, has ended.
    pub fn run(mut self, before: Option<JoinHandle<()>>, end: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            if let Some(before) = before {
                // It may have panicked, which is told where tasks are.
                let _ = before.await;
            }
            self.told = self.cell.state().as_of;
            let ended = end.clone();
            tokio::select! {
                () = ended.cancelled() => {}
                () = self.keep() => {}
            }
        }
        .boxed()
    }

    async fn keep(&mut self) {
        loop {
            let mut delays = self.delays();
            loop {
                let Err(error) = self.session().await;
                let followed = self.reporting();
                self.failed(&error);
                if followed {
                    break;
                }
                tokio::time::sleep(delays.next().unwrap_or(self.options.timings.retry_max)).await;
            }
            // After a session that stood, at once but for a moment: restarts of agents are what ends most.
            tokio::time::sleep(self.delays().next().unwrap_or_default()).await;
        }
    }

    fn delays(&self) -> impl Iterator<Item = Duration> + use<M> {
        let timings = self.options.timings;
        ExponentialBuilder::default()
            .with_min_delay(timings.retry_min)
            .with_max_delay(timings.retry_max)
            .without_max_times()
            .with_jitter()
            .build()
    }

    fn reporting(&self) -> bool {
        self.cell.state().reporting()
    }

    fn failed(&self, error: &Error) {
        let text = error.text();
        Tally::count(&self.cell.tally.failures, 1);
        let now = (self.options.clock)();
        {
            let mut state = self.cell.state();
            // The first failure of several says since when.
            let since = match &state.link {
                State::Unreachable { since, .. } => *since,
                _ => {
                    tracing::warn!(node = &*self.node, agent = %self.target, err = text, "agent-unreachable");
                    now
                }
            };
            state.link = State::Unreachable { error: text.into(), since };
        }
        self.tell(FleetUpdate::Node(Arc::clone(&self.node)));
    }

    /// Connects, and follows until that fails.
    async fn session(&mut self) -> Result<Infallible, Error> {
        let timings = self.options.timings;
        let open = async {
            let channel = self.options.connector.connect(&self.target).await.map_err(Error::Connect)?;
            let client = AgentClient::new(channel);
            let version = client.version().await?;
            Ok::<_, Error>((client, version))
        };
        let (client, version) = timeout(timings.answer, open).await.map_err(|_| Error::late("connecting"))??;
        self.answered(version)?;
        let (changed_tx, changed_rx) = watch::channel(None);
        let node = Arc::clone(&self.node);
        let (cell, store, options) = (Arc::clone(&self.cell), Arc::clone(&self.store), self.options.clone());
        let questions = questions::Questions { node: Arc::clone(&node), cell, store, options, client: client.clone() };
        let follow = Follow::open(self, client, changed_tx).await?;
        let loops = M::LOOPS;
        tokio::select! {
            error = follow.run() => Err(error),
            error = questions.health(), if loops.health => Err(error),
            never = questions.counters(), if loops.counters => match never {},
            never = questions.dumps(changed_rx), if loops.dumps => match never {},
            never = questions.probes() => match never {},
        }
    }

    /// Books what the agent says of itself.
    fn answered(&mut self, version: AgentVersion) -> Result<(), Error> {
        match &self.target.node {
            Some(node) if **node != *version.node => {
                let (expected, found) = (node.to_string(), version.node);
                return Err(Error::OtherNode { expected, found });
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
        Tally::count(&self.cell.tally.connects, 1);
        let mut state = self.cell.state();
        state.version = Some(Arc::new(version));
        state.last_seen = Some((self.options.clock)());
        drop(state);
        self.tell(FleetUpdate::Node(Arc::clone(&self.node)));
        Ok(())
    }

    fn tell(&self, update: FleetUpdate) {
        self.store.tell(update);
    }
}

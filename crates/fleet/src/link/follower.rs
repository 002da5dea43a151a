//! Follows an agent's state without a gap: the stream of changes, and the complete state after missed events.
//!
//! Changes that arrive while the state is fetched are buffered, because the state may be older. A state is used only if
//! it includes everything up to the missed events.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use jiff::Timestamp;
use maglev_net::sleep_until_some;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::AgentLink;
use crate::{
    Error,
    mirror::Mirror,
    store::{LinkCounters, LinkState},
    update::{FleetUpdate, FollowedLines},
};
use maglev_model::change::Change;
use maglev_rpc::client::{AgentClient, EventStream, Line, LineBatch, WatchRequest};
use maglev_telemetry::{AsOf, ViewSnapshot};

/// Limit of lines that are buffered during a fetch. Beyond it the session is restarted.
const MAX_BUFFERED: usize = 200_000;
/// Delay before a state that was too old is fetched again.
const REFETCH_DELAY: Duration = Duration::from_millis(50);

/// The stream of one session.
pub struct Follower<'l, M> {
    link: &'l mut AgentLink<M>,
    client: AgentClient,
    stream: EventStream,
    /// Position in the stream.
    position: AsOf,
    /// `None` while nothing is missed.
    catching_up: Option<CatchingUp>,
    fetch: Option<BoxFuture<'static, Result<ViewSnapshot, Error>>>,
    /// Time of the next fetch.
    fetch_at: Option<Instant>,
    /// Time of VPP's last change, by the agent's clock.
    vpp_changed: watch::Sender<Option<Timestamp>>,
}

/// Recovery from missed events.
struct CatchingUp {
    /// The lowest sequence number that the state must include.
    min_seq: u64,
    /// Lines that arrived since.
    lines: Vec<Line>,
}

impl<'l, M: Mirror> Follower<'l, M> {
    /// Opens the stream from the mirror's position.
    pub async fn open(
        link: &'l mut AgentLink<M>,
        client: AgentClient,
        vpp_changed: watch::Sender<Option<Timestamp>>,
    ) -> Result<Self, Error> {
        let since = link.cell.state().as_of;
        let limit = link.options.timings.answer;
        let late = |_| Error::late("WatchEvents");
        let request = WatchRequest { since, ..WatchRequest::default() };
        let mut stream = timeout(limit, client.watch(request)).await.map_err(late)??;
        // Arrives at once, with the start position of the stream.
        let first = timeout(limit, stream.next()).await.map_err(late)??;
        let first = first.ok_or(Error::Ended)?;
        let fetch_at = M::LOOPS.refresh.then(|| Instant::now() + link.options.timings.refresh.mul_f64(fastrand::f64()));
        let position = first.as_of;
        let mut follower =
            Self { link, client, stream, position, catching_up: None, fetch: None, fetch_at, vpp_changed };
        let resumed = since.is_some_and(|since| since.epoch == position.epoch) && !first.resync && first.dropped == 0;
        if !resumed {
            follower.catch_up(position);
        }
        follower.receive(LineBatch { resync: false, dropped: 0, ..first })?;
        if resumed {
            follower.mark_connected();
        }
        Ok(follower)
    }

    /// Runs until the session fails.
    pub async fn run(mut self) -> Error {
        loop {
            if let Err(error) = self.step().await {
                return error;
            }
        }
    }

    async fn step(&mut self) -> Result<(), Error> {
        tokio::select! {
            batch = self.stream.next() => {
                self.receive(batch?.ok_or(Error::Ended)?)
            }
            snapshot = fetched(&mut self.fetch) => {
                self.fetch = None;
                self.apply_snapshot(&snapshot?)
            }
            () = sleep_until_some(self.fetch_at) => {
                self.fetch_at = None;
                self.start_fetch();
                Ok(())
            }
        }
    }

    fn start_fetch(&mut self) {
        if self.fetch.is_none() {
            let (client, limit) = (self.client.clone(), self.link.options.timings.state);
            let fetch = async move {
                let answer = timeout(limit, client.state()).await;
                Ok(answer.map_err(|_| Error::late("GetState"))??)
            };
            self.fetch = Some(fetch.boxed());
        }
    }

    /// Fetches the state, because an event up to `position` was missed.
    fn catch_up(&mut self, position: AsOf) {
        LinkCounters::count(&self.link.cell.link_counters.resyncs, 1);
        let lines = self.catching_up.take().map(|catching_up| catching_up.lines).unwrap_or_default();
        self.catching_up = Some(CatchingUp { min_seq: position.seq, lines });
        self.fetch_at = Some(Instant::now());
    }

    fn receive(&mut self, batch: LineBatch) -> Result<(), Error> {
        let LineBatch { mut lines, as_of, dropped, resync } = batch;
        if as_of.epoch != self.position.epoch {
            return Err(Error::Restarted);
        }
        self.position = as_of;
        if resync || dropped > 0 {
            self.catch_up(as_of);
        }
        self.check_vpp_changes(&lines);
        LinkCounters::count(&self.link.cell.link_counters.lines, lines.len() as u64);
        match &mut self.catching_up {
            Some(catching_up) => {
                catching_up.lines.extend(lines.iter().filter(|line| line.change.is_some()).cloned());
                if catching_up.lines.len() > MAX_BUFFERED {
                    return Err(Error::late("GetState"));
                }
            }
            None => self.apply(&lines, as_of),
        }
        let published = self.link.published.filter(|last| last.epoch == as_of.epoch).map_or(0, |last| last.seq);
        lines.retain(|line| line.seq.is_some_and(|seq| seq > published));
        self.link.published = Some(AsOf { epoch: as_of.epoch, seq: as_of.seq.max(published) });
        if !lines.is_empty() {
            let node = Arc::clone(&self.link.node);
            self.link.publish(FleetUpdate::Followed(Arc::new(FollowedLines { node, as_of, lines })));
        }
        Ok(())
    }

    fn apply(&self, lines: &[Line], as_of: AsOf) {
        let mut state = self.link.cell.state();
        let applied = state.as_of.filter(|last| last.epoch == as_of.epoch).map_or(0, |last| last.seq);
        for line in lines.iter().filter(|line| line.seq.is_some_and(|seq| seq > applied)) {
            if let Some(change) = &line.change {
                state.view.apply(change, line.time);
            }
        }
        state.as_of = Some(AsOf { epoch: as_of.epoch, seq: as_of.seq.max(applied) });
    }

    fn apply_snapshot(&mut self, snapshot: &ViewSnapshot) -> Result<(), Error> {
        if snapshot.as_of.epoch != self.position.epoch {
            return Err(Error::Restarted);
        }
        let timings = self.link.options.timings;
        self.fetch_at = M::LOOPS.refresh.then(|| Instant::now() + timings.refresh);
        match self.catching_up.take() {
            Some(catching_up) if snapshot.as_of.seq < catching_up.min_seq => {
                self.catching_up = Some(catching_up);
                self.fetch_at = Some(Instant::now() + REFETCH_DELAY);
            }
            Some(catching_up) => {
                self.reset(snapshot);
                self.apply(&catching_up.lines, self.position);
                self.mark_connected();
                self.link.publish(FleetUpdate::Reset(Arc::clone(&self.link.node)));
            }
            None => self.compare(snapshot),
        }
        Ok(())
    }

    fn reset(&self, snapshot: &ViewSnapshot) {
        let mirror = self.mirror(snapshot);
        let mut state = self.link.cell.state();
        (state.view, state.as_of) = (mirror, Some(snapshot.as_of));
    }

    /// The mirror of a state, which shares memory with that of another node.
    fn mirror(&self, snapshot: &ViewSnapshot) -> M {
        let mut mirror = M::from_view(&snapshot.view);
        if let Some(other) = self.link.store.mirror_of_other(&self.link.node) {
            mirror.share(&other);
        }
        mirror
    }

    /// Replaces the mirror, and reports if it differs from the agent's state. Only states of the same position are
    /// comparable. An equal mirror is replaced because changes since the last state are not shared with other nodes.
    fn compare(&self, snapshot: &ViewSnapshot) {
        let mirror = self.mirror(snapshot);
        {
            let mut state = self.link.cell.state();
            if state.as_of != Some(snapshot.as_of) {
                return;
            }
            let is_equal = state.view == mirror;
            state.view = mirror;
            if is_equal {
                return;
            }
        }
        LinkCounters::count(&self.link.cell.link_counters.differences, 1);
        tracing::warn!(node = &*self.link.node, seq = snapshot.as_of.seq, "mirror differs from the agent's state");
        self.link.publish(FleetUpdate::Reset(Arc::clone(&self.link.node)));
    }

    fn mark_connected(&self) {
        let was = std::mem::replace(&mut self.link.cell.state().link, LinkState::Connected);
        if was != LinkState::Connected {
            tracing::info!(node = &*self.link.node, agent = %self.link.target, "agent connected");
            self.link.publish(FleetUpdate::Node(Arc::clone(&self.link.node)));
        }
    }

    /// Notifies the poller of dumps after changes of VPP's state.
    fn check_vpp_changes(&self, lines: &[Line]) {
        let changed = lines.iter().rev().find(|line| line.change.as_ref().is_some_and(changes_vpp));
        if let Some(line) = changed {
            self.vpp_changed.send_replace(Some(line.time));
        }
        if lines.iter().any(|line| line.change == Some(Change::VppDisconnected)) {
            let mut state = self.link.cell.state();
            (state.dump, state.counters) = (None, None);
            drop(state);
            self.link.publish(FleetUpdate::Dump(Arc::clone(&self.link.node)));
            self.link.publish(FleetUpdate::Counters(Arc::clone(&self.link.node)));
        }
    }
}

fn changes_vpp(change: &Change) -> bool {
    matches!(change, Change::Vip(..) | Change::Server(..) | Change::VppState(..) | Change::VppConnected(_))
}

async fn fetched(fetch: &mut Option<BoxFuture<'static, Result<ViewSnapshot, Error>>>) -> Result<ViewSnapshot, Error> {
    match fetch {
        Some(fetch) => fetch.await,
        None => std::future::pending().await,
    }
}

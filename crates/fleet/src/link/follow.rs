//! Following an agent's state without a gap: the stream of changes, and the whole state where something was missed.
//!
//! While it catches up, changes that arrive are kept, because the state that is fetched may be older than they are.
//! A state is taken only if it holds all that happened up to the loss.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::Link;
use crate::{
    Error,
    mirror::Mirror,
    store::{Link as State, Tally},
    update::{FleetUpdate, FollowedLines},
};
use maglev_model::change::Change;
use maglev_rpc::client::{AgentClient, Followed, Line, Watch, WatchRequest};
use maglev_telemetry::{AsOf, Snapshot};

/// Lines that may wait for a state. An agent that tells so many meanwhile is followed anew.
const MAX_WAITING: usize = 200_000;
/// Before a state is asked for again that was too old.
const TOO_OLD: Duration = Duration::from_millis(50);

/// The stream of one session.
pub struct Follow<'l, M> {
    link: &'l mut Link<M>,
    client: AgentClient,
    watch: Watch,
    /// Where the stream is.
    at: AsOf,
    /// What happened since something was missed; `None` while nothing is.
    catching_up: Option<CatchingUp>,
    asked: Option<BoxFuture<'static, Result<Snapshot, Error>>>,
    /// When the state is asked for next.
    due: Option<Instant>,
    /// When VPP last changed, by the agent's clock.
    changed: watch::Sender<Option<Timestamp>>,
}

/// What is needed to go on.
struct CatchingUp {
    /// The state has to be at least so far.
    from: u64,
    /// What came since.
    lines: Vec<Line>,
}

impl<'l, M: Mirror> Follow<'l, M> {
    /// Opens the stream from where the mirror is.
    pub async fn open(
        link: &'l mut Link<M>,
        client: AgentClient,
        changed: watch::Sender<Option<Timestamp>>,
    ) -> Result<Self, Error> {
        let since = link.cell.state().as_of;
        let limit = link.options.timings.answer;
        let late = |_| Error::late("WatchEvents");
        let request = WatchRequest { since, ..WatchRequest::default() };
        let mut watch = timeout(limit, client.watch(request)).await.map_err(late)??;
        // It comes at once and says where the stream begins.
        let first = timeout(limit, watch.next()).await.map_err(late)??;
        let first = first.ok_or(Error::Ended)?;
        let due = M::LOOPS.refresh.then(|| Instant::now() + link.options.timings.refresh.mul_f64(fastrand::f64()));
        let at = first.as_of;
        let mut follow = Self { link, client, watch, at, catching_up: None, asked: None, due, changed };
        let goes_on = since.is_some_and(|since| since.epoch == at.epoch) && !first.resync && first.dropped == 0;
        if !goes_on {
            follow.missed(at);
        }
        follow.take(Followed { resync: false, dropped: 0, ..first })?;
        if goes_on {
            follow.connected();
        }
        Ok(follow)
    }

    /// Follows until that fails.
    pub async fn run(mut self) -> Error {
        loop {
            if let Err(error) = self.step().await {
                return error;
            }
        }
    }

    async fn step(&mut self) -> Result<(), Error> {
        tokio::select! {
            followed = self.watch.next() => {
                self.take(followed?.ok_or(Error::Ended)?)
            }
            snapshot = answer(&mut self.asked) => {
                self.asked = None;
                self.answered(&snapshot?)
            }
            () = until(self.due) => {
                self.due = None;
                self.ask();
                Ok(())
            }
        }
    }

    fn ask(&mut self) {
        if self.asked.is_none() {
            let (client, limit) = (self.client.clone(), self.link.options.timings.state);
            let ask = async move {
                let answer = timeout(limit, client.state()).await;
                Ok(answer.map_err(|_| Error::late("GetState"))??)
            };
            self.asked = Some(ask.boxed());
        }
    }

    /// Something up to `at` is not known.
    fn missed(&mut self, at: AsOf) {
        Tally::count(&self.link.cell.tally.resyncs, 1);
        let waiting = self.catching_up.take().map(|catching_up| catching_up.lines).unwrap_or_default();
        self.catching_up = Some(CatchingUp { from: at.seq, lines: waiting });
        self.due = Some(Instant::now());
    }

    fn take(&mut self, followed: Followed) -> Result<(), Error> {
        let Followed { mut lines, as_of, dropped, resync } = followed;
        if as_of.epoch != self.at.epoch {
            return Err(Error::Restarted);
        }
        self.at = as_of;
        if resync || dropped > 0 {
            self.missed(as_of);
        }
        self.note_changes(&lines);
        Tally::count(&self.link.cell.tally.lines, lines.len() as u64);
        match &mut self.catching_up {
            Some(catching_up) => {
                catching_up.lines.extend(lines.iter().filter(|line| line.change.is_some()).cloned());
                if catching_up.lines.len() > MAX_WAITING {
                    return Err(Error::late("GetState"));
                }
            }
            None => self.apply(&lines, as_of),
        }
        let told = self.link.told.filter(|told| told.epoch == as_of.epoch).map_or(0, |told| told.seq);
        lines.retain(|line| line.seq.is_some_and(|seq| seq > told));
        self.link.told = Some(AsOf { epoch: as_of.epoch, seq: as_of.seq.max(told) });
        if !lines.is_empty() {
            let node = Arc::clone(&self.link.node);
            self.link.tell(FleetUpdate::Followed(Arc::new(FollowedLines { node, as_of, lines })));
        }
        Ok(())
    }

    fn apply(&self, lines: &[Line], as_of: AsOf) {
        let mut state = self.link.cell.state();
        let known = state.as_of.filter(|known| known.epoch == as_of.epoch).map_or(0, |known| known.seq);
        for line in lines.iter().filter(|line| line.seq.is_some_and(|seq| seq > known)) {
            if let Some(change) = &line.change {
                state.view.apply(change, line.time);
            }
        }
        state.as_of = Some(AsOf { epoch: as_of.epoch, seq: as_of.seq.max(known) });
    }

    fn answered(&mut self, snapshot: &Snapshot) -> Result<(), Error> {
        if snapshot.as_of.epoch != self.at.epoch {
            return Err(Error::Restarted);
        }
        let timings = self.link.options.timings;
        self.due = M::LOOPS.refresh.then(|| Instant::now() + timings.refresh);
        match self.catching_up.take() {
            Some(catching_up) if snapshot.as_of.seq < catching_up.from => {
                self.catching_up = Some(catching_up);
                self.due = Some(Instant::now() + TOO_OLD);
            }
            Some(catching_up) => {
                self.reset(snapshot);
                self.apply(&catching_up.lines, self.at);
                self.connected();
                self.link.tell(FleetUpdate::Reset(Arc::clone(&self.link.node)));
            }
            None => self.compare(snapshot),
        }
        Ok(())
    }

    fn reset(&self, snapshot: &Snapshot) {
        let mirror = M::of(&snapshot.view);
        let mut state = self.link.cell.state();
        (state.view, state.as_of) = (mirror, Some(snapshot.as_of));
    }

    /// The safety net. Two states of different moments say nothing about each other.
    fn compare(&self, snapshot: &Snapshot) {
        let mirror = M::of(&snapshot.view);
        {
            let mut state = self.link.cell.state();
            if state.as_of != Some(snapshot.as_of) || state.view == mirror {
                return;
            }
            state.view = mirror;
        }
        Tally::count(&self.link.cell.tally.differences, 1);
        tracing::warn!(node = &*self.link.node, seq = snapshot.as_of.seq, "mirror-differed");
        self.link.tell(FleetUpdate::Reset(Arc::clone(&self.link.node)));
    }

    fn connected(&self) {
        let was = std::mem::replace(&mut self.link.cell.state().link, State::Connected);
        if was != State::Connected {
            tracing::info!(node = &*self.link.node, agent = %self.link.target, "agent-connected");
            self.link.tell(FleetUpdate::Node(Arc::clone(&self.link.node)));
        }
    }

    /// Tells the loop that reads what VPP has that it has something else now.
    fn note_changes(&self, lines: &[Line]) {
        let changed = lines.iter().rev().find(|line| line.change.as_ref().is_some_and(moves_buckets));
        if let Some(line) = changed {
            self.changed.send_replace(Some(line.time));
        }
        if lines.iter().any(|line| line.change == Some(Change::VppDisconnected)) {
            let mut state = self.link.cell.state();
            (state.dump, state.counters) = (None, None);
            drop(state);
            self.link.tell(FleetUpdate::Dump(Arc::clone(&self.link.node)));
            self.link.tell(FleetUpdate::Counters(Arc::clone(&self.link.node)));
        }
    }
}

fn moves_buckets(change: &Change) -> bool {
    matches!(change, Change::Vip(..) | Change::Server(..) | Change::VppState(..) | Change::VppConnected(_))
}

async fn answer(asked: &mut Option<BoxFuture<'static, Result<Snapshot, Error>>>) -> Result<Snapshot, Error> {
    match asked {
        Some(asked) => asked.await,
        None => std::future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

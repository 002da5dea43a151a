//! One session with VPP: the cached of what it has, what is under way, and what is to be done.
//!
//! Everything here ends with the session. The cached is VPP's last dump plus each step that it
//! acknowledged since; requests are numbered, so that a dump is never mistaken for newer or older
//! than a step.

mod pass;
mod planning;
mod replies;
mod retries;
mod work_queue;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, OptionFuture},
    stream::FuturesUnordered,
};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use self::{pass::Pass, retries::RetrySchedule, work_queue::WorkQueue};
use super::{
    dataplane::{Dataplane, DataplaneError, ReplyFuture, SessionEnd},
    plan_job::{FinishedJob, RequestCounter},
    state::AgentState,
    state::TurnBudget,
    warmup::Gate,
};
use maglev_model::{
    actual::{Actual, ActualConf, LbDump, VppVip},
    plan::Step,
};

/// Steps under way at once, so that work for an event never waits behind a long pass.
const WINDOW: usize = 64;

/// How long after the last step the verifying dump follows.
const VERIFY_AFTER: Duration = Duration::from_millis(500);

/// How long after a read that failed the next one follows.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// How often VPP is asked for a sign of life.
const PING_EVERY: Duration = Duration::from_secs(10);

/// A session with VPP.
pub struct SyncSession {
    dataplane: Arc<Dataplane>,
    closed: BoxFuture<'static, SessionEnd>,
    counter: RequestCounter,
    cached: Option<CachedVppState>,
    pending_dump: Option<PendingDump>,
    /// The next read, and whether it is for everything.
    dump_due: Option<DumpReason>,
    jobs: FuturesUnordered<BoxFuture<'static, FinishedJob>>,
    queue: WorkQueue,
    /// Addresses written since they were last read, each with its last step's number.
    unverified: BTreeMap<IpAddr, u64>,
    pass: Option<Pass>,
    /// Addresses with a VIP whose backends are not all known yet, during the warm-up.
    warming: BTreeSet<IpAddr>,
    retries: RetrySchedule,
    reported_foreign: BTreeSet<VppVip>,
    reported_unreadable: BTreeSet<&'static str>,
    ping: Option<ReplyFuture<()>>,
    next_ping: Instant,
    next_pass: Instant,
    verify_at: Option<Instant>,
    /// VPP's own settings were compared with what they should be, and may be relied on.
    conf_settled: bool,
    /// A pass has ended in which not every step failed.
    synced: bool,
}

/// What VPP has.
pub struct CachedVppState {
    conf: ActualConf,
    actual: Actual,
    /// The read's number: steps with a lower one are in it.
    number: u64,
}

struct PendingDump {
    answer: BoxFuture<'static, Result<(Arc<LbDump>, Actual), DataplaneError>>,
    number: u64,
    reason: DumpReason,
    /// Steps acknowledged meanwhile that were sent after the read.
    since: Vec<Step>,
}

/// What a read is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum DumpReason {
    /// For the addresses that were written.
    Verify,
    /// For a full pass.
    Pass,
}

/// What happened in a session.
pub enum SessionEvent {
    /// It is over.
    Closed(SessionEnd),
    /// A read was answered.
    Dump(Result<(Arc<LbDump>, Actual), DataplaneError>),
    /// A plan was answered.
    JobFinished(Box<FinishedJob>),
    /// VPP is alive.
    Pong,
}

impl SyncSession {
    /// A fresh session: everything is read first.
    pub fn new(dataplane: Arc<Dataplane>, now: Instant) -> Self {
        Self {
            closed: dataplane.closed(),
            dataplane,
            counter: RequestCounter::default(),
            cached: None,
            pending_dump: None,
            dump_due: Some(DumpReason::Pass),
            jobs: FuturesUnordered::new(),
            queue: WorkQueue::default(),
            unverified: BTreeMap::new(),
            pass: None,
            warming: BTreeSet::new(),
            retries: RetrySchedule::default(),
            reported_foreign: BTreeSet::new(),
            reported_unreadable: BTreeSet::new(),
            ping: None,
            next_ping: now + PING_EVERY,
            next_pass: now,
            verify_at: None,
            conf_settled: false,
            synced: false,
        }
    }

    /// What VPP has, once it was read.
    pub fn actual(&self) -> Option<&Actual> {
        self.cached.as_ref().map(|cached| &cached.actual)
    }

    /// Whether a pass has ended in which not every step failed.
    pub fn synced(&self) -> bool {
        self.synced
    }

    /// Whether the session has had a complete dump.
    pub fn has_dump(&self) -> bool {
        self.cached.is_some()
    }

    /// An event touched these addresses.
    pub fn enqueue(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        for address in addresses {
            self.queue.enqueue(address);
        }
    }

    /// A Frontend changed: what was found out about its VIP under the old spec counts no more.
    pub fn forget_failures(&mut self, addresses: &BTreeSet<IpAddr>) {
        self.retries.forget(addresses);
    }

    /// Everything is to be read and planned again, VPP's own settings first.
    pub fn request_pass(&mut self) {
        self.dump_due = Some(DumpReason::Pass);
    }

    /// More may be written than before: what was synced so far is not all.
    pub fn gate_opened(&mut self) {
        self.synced = false;
        self.request_pass();
    }

    /// Waits for the next thing to happen. Safe to drop at any time.
    pub async fn wait(&mut self) -> SessionEvent {
        let pending_dump = OptionFuture::from(self.pending_dump.as_mut().map(|pending_dump| &mut pending_dump.answer));
        let ping = OptionFuture::from(self.ping.as_mut());
        tokio::select! {
            ended = &mut self.closed => SessionEvent::Closed(ended),
            Some(job) = self.jobs.next(), if !self.jobs.is_empty() => SessionEvent::JobFinished(Box::new(job)),
            Some(read) = pending_dump => SessionEvent::Dump(read),
            Some(_) = ping => SessionEvent::Pong,
        }
    }

    /// When [`Self::pump`] has something to do, whatever happens.
    pub fn next_timer(&self) -> Instant {
        let mut next = self.next_ping.min(self.next_pass);
        for at in [self.verify_at, self.retries.next()].into_iter().flatten() {
            next = next.min(at);
        }
        next
    }

    /// Looks at the timers.
    fn tick(&mut self, state: &AgentState, now: Instant) {
        if now >= self.next_ping {
            self.next_ping = now + PING_EVERY;
            if self.ping.is_none() {
                self.ping = Some(self.dataplane.ping());
            }
        }
        if now >= self.next_pass {
            self.next_pass = now + state.sync_interval();
            self.request_pass();
        }
        if self.verify_at.is_some_and(|at| now >= at) {
            self.verify_at = None;
            self.dump_due = self.dump_due.max(Some(DumpReason::Verify));
        }
        let due = self.retries.take_due(now);
        self.enqueue(due);
    }

    /// The ping was answered.
    pub fn pong(&mut self) {
        self.ping = None;
    }

    /// Starts what can be started now, as much of it as `budget` allows.
    pub fn pump(&mut self, state: &mut AgentState, now: Instant, budget: &mut TurnBudget) {
        self.tick(state, now);
        self.start_dump(state);
        if self.cached.is_none() || !self.conf_settled || state.gate(now) == Gate::Closed {
            return;
        }
        self.enqueue(state.recreates.next());
        while budget.has_remaining()
            && let Some(address) = self.queue.next()
        {
            self.plan_and_send(state, now, address, Cause::Event, budget);
        }
        while budget.has_remaining()
            && self.queue.steps() < WINDOW
            && let Some(address) = self.pass.as_mut().and_then(Pass::next)
        {
            if self.queue.is_in_flight(address) {
                self.queue.enqueue(address);
            } else {
                self.plan_and_send(state, now, address, Cause::Pass, budget);
            }
        }
        self.finish_pass(state, now);
        if self.synced && self.warming.is_empty() && !self.queue.has_waiting() {
            state.warmup.finish();
        }
        state.save_owned_vips();
    }

    fn start_dump(&mut self, state: &AgentState) {
        if self.pending_dump.is_some() || self.pass.is_some() {
            return;
        }
        if let Some(reason) = self.dump_due.take() {
            let number = self.counter.next();
            let (conf, actual) = (self.dataplane.conf(), self.dataplane.read());
            // In a task of its own: to take thousands of servers apart must not keep a transition waiting.
            let clock = state.clock;
            let read = tokio::spawn(async move {
                let (conf, actual) = (conf.await?, actual.await?);
                let dump = Arc::new(LbDump { at: clock(), conf, actual: actual.clone() });
                Ok((dump, actual))
            });
            let read = AbortOnDropHandle::new(read);
            let lost = |error: tokio::task::JoinError| Err(DataplaneError::Swallowed(format!("read: {error}")));
            let answer = async move { read.await.unwrap_or_else(lost) }.boxed();
            self.pending_dump = Some(PendingDump { answer, number, reason, since: Vec::new() });
        }
    }

    /// A read was answered.
    pub async fn dump_received(
        &mut self,
        state: &mut AgentState,
        answer: Result<(Arc<LbDump>, Actual), DataplaneError>,
        now: Instant,
    ) {
        let Some(pending_dump) = self.pending_dump.take() else { return };
        let (dump, mut actual) = match answer {
            Ok(read) => read,
            // The session is over, which is told apart.
            Err(DataplaneError::Closed(_)) => return,
            // Read again, but not in a hurry: the same may be swallowed every time.
            Err(error) => {
                state.sync_error(None, "read", &error.to_string());
                match pending_dump.reason {
                    DumpReason::Pass => self.next_pass = now + READ_AGAIN,
                    DumpReason::Verify => self.verify_at = Some(now + READ_AGAIN),
                }
                return;
            }
        };
        let conf = dump.conf;
        state.dump.send_replace(Some(dump));
        for step in &pending_dump.since {
            actual.apply(step);
        }
        let before = self.cached.replace(CachedVppState { conf, actual, number: pending_dump.number });
        self.publish_vpp_state(state, before.as_ref());
        self.warn_unreadable(state);
        self.write_conf(state, now).await;
        let read = self.take_verified(state, pending_dump.number);
        match pending_dump.reason {
            DumpReason::Pass => self.begin_pass(state, now),
            // What failed waits for its retry.
            DumpReason::Verify => {
                let rest = read.into_iter().filter(|address| !self.retries.is_waiting(*address)).collect::<Vec<_>>();
                self.enqueue(rest);
            }
        }
    }

    /// The addresses that were written before the read `number`, and are at rest.
    fn take_verified(&mut self, state: &mut AgentState, number: u64) -> BTreeSet<IpAddr> {
        let (verified, rest) = std::mem::take(&mut self.unverified)
            .into_iter()
            .partition(|(address, last)| *last < number && !self.queue.is_in_flight(*address));
        self.unverified = rest;
        let verified = BTreeMap::into_keys(verified).collect();
        state.recreates.verified(&verified);
        verified
    }
}

/// Why an address is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Something about it changed, a retry is due, or it was written and read back.
    Event,
    /// A pass over everything.
    Pass,
}

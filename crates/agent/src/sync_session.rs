//! One session with VPP: its cached state, the steps in flight, and the queue of work.
//!
//! All of this ends with the session. The cached state is VPP's last dump, plus each step acknowledged and each VIP read since.
//! Requests are numbered, so that the order of a dump and a step is always known.

mod confirmation;
mod garbage;
mod global_conf;
mod pass;
mod pending_dump;
mod planning;
mod read_back;
mod replies;
mod retries;
mod spot_check;
mod verification;
mod work_queue;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use futures::{
    StreamExt,
    future::{BoxFuture, OptionFuture},
    stream::FuturesUnordered,
};
use tokio::time::Instant;

pub use self::read_back::ReadBack;
use self::{
    confirmation::Confirmations,
    garbage::GarbageSchedule,
    global_conf::ConfWrite,
    pass::Pass,
    pending_dump::{DumpReason, FinishedDump, PendingDump, in_own_task},
    retries::RetrySchedule,
    spot_check::{ServersOfVips, SpotCheck, SpotChecks},
    verification::{Settling, Unverified},
    work_queue::WorkQueue,
};
use super::{
    dataplane::{Dataplane, DataplaneError, ReplyFuture, ServerFlows, SessionEnd, VppReading},
    plan_job::{FinishedJob, RequestCounter},
    state::AgentState,
    turn_budget::TurnBudget,
    warmup::Gate,
};
use maglev_model::{
    actual::{Actual, ActualConf, LbDump, VppVip},
    plan::Step,
};

/// Limit of steps in flight for a pass, so that work for an event never waits behind a long pass.
const WINDOW: usize = 64;
/// No plan starts for an event from this number of steps in flight on, until it is halved. This bounds their memory: the first
/// configuration may change every VIP.
const EVENT_WINDOW: usize = 8192;

/// Delay before a failed dump is retried.
const DUMP_RETRY: Duration = Duration::from_secs(1);

/// Intervals of a session's periodic requests.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    pub ping: Duration,
    /// Between two garbage collections.
    pub garbage: Duration,
}

/// A session with VPP.
pub struct SyncSession {
    dataplane: Arc<Dataplane>,
    closed: BoxFuture<'static, SessionEnd>,
    counter: RequestCounter,
    cached: Option<CachedVppState>,
    pending_dump: Option<PendingDump>,
    /// The next dump to request.
    dump_due: Option<DumpReason>,
    jobs: FuturesUnordered<BoxFuture<'static, FinishedJob>>,
    queue: WorkQueue,
    spot_check: Option<SpotCheck>,
    spot_checks: SpotChecks,
    /// Addresses written since they were last read.
    unverified: BTreeMap<IpAddr, Unverified>,
    settling: Settling,
    pass: Option<Pass>,
    /// During the warm-up: addresses with a VIP whose backends do not all have a health state yet.
    warming: BTreeSet<IpAddr>,
    retries: RetrySchedule,
    confirmations: Confirmations,
    reported_foreign: BTreeSet<VppVip>,
    reported_unreadable: BTreeSet<&'static str>,
    garbage: GarbageSchedule,
    ping: Option<ReplyFuture<()>>,
    ping_interval: Duration,
    next_ping: Instant,
    next_pass: Instant,
    verify_at: Option<Instant>,
    last_dump: Option<FinishedDump>,
    conf_write: Option<ConfWrite>,
    /// Set once VPP's global settings were compared with the desired ones.
    conf_settled: bool,
    /// Set once a pass has ended in which at least one step succeeded.
    synced: bool,
}

/// VPP's state: the last dump, plus the steps acknowledged and the VIPs read since.
pub struct CachedVppState {
    conf: ActualConf,
    actual: Actual,
    /// Tracked flows, as of the dump; absent for servers changed since.
    flows: ServerFlows,
    /// Number of the dump request; the dump includes the effects of steps with lower numbers.
    number: u64,
}

impl CachedVppState {
    /// The state as a reading.
    fn reading(&self) -> VppReading {
        VppReading { actual: self.actual.clone(), flows: self.flows.clone() }
    }

    /// Applies a step that VPP acknowledged. The flows of the server were counted before it.
    fn apply(&mut self, step: &Step) {
        self.actual.apply(step);
        if let (Some(flows), Some(server)) = (self.flows.get_mut(&step.vip()), step.server()) {
            flows.remove(&server);
        }
    }
}

/// An event of a session.
pub enum SessionEvent {
    /// The session ended.
    Closed(SessionEnd),
    /// The reply to a dump request.
    Dump(Result<(ActualConf, VppReading), DataplaneError>),
    /// The servers of single VIPs.
    SpotCheck(Result<ServersOfVips, DataplaneError>),
    /// VPP replied to all steps of a plan.
    JobFinished(Box<FinishedJob>),
    /// The result of a ping.
    Pong(Result<(), DataplaneError>),
    /// VPP's reply to a write of the global settings.
    ConfWritten(Result<(), DataplaneError>),
    /// The result of a garbage collection.
    GarbageCollected(Result<bool, DataplaneError>),
}

impl SyncSession {
    /// A new session. It starts with a dump.
    pub fn new(dataplane: Arc<Dataplane>, now: Instant, intervals: Intervals) -> Self {
        Self {
            closed: dataplane.closed(),
            dataplane,
            counter: RequestCounter::default(),
            cached: None,
            pending_dump: None,
            dump_due: Some(DumpReason::Pass),
            jobs: FuturesUnordered::new(),
            queue: WorkQueue::default(),
            spot_check: None,
            spot_checks: SpotChecks::Possible,
            unverified: BTreeMap::new(),
            settling: Settling::new(),
            pass: None,
            warming: BTreeSet::new(),
            retries: RetrySchedule::default(),
            confirmations: Confirmations::default(),
            reported_foreign: BTreeSet::new(),
            reported_unreadable: BTreeSet::new(),
            garbage: GarbageSchedule::new(intervals.garbage),
            ping: None,
            ping_interval: intervals.ping,
            next_ping: now + intervals.ping,
            next_pass: now,
            verify_at: None,
            last_dump: None,
            conf_write: None,
            conf_settled: false,
            synced: false,
        }
    }

    /// VPP's LB state; `None` before the first dump.
    pub fn actual(&self) -> Option<&Actual> {
        self.cached.as_ref().map(|cached| &cached.actual)
    }

    /// True once a pass has ended in which at least one step succeeded.
    pub fn synced(&self) -> bool {
        self.synced
    }

    /// True once the session has received a complete dump.
    pub fn has_dump(&self) -> bool {
        self.cached.is_some()
    }

    /// Queues addresses for planning.
    pub fn enqueue(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        for address in addresses {
            self.queue.enqueue(address);
        }
    }

    /// Forgets the failures of addresses whose Frontends have changed.
    pub fn forget_failures(&mut self, addresses: &BTreeSet<IpAddr>) {
        self.retries.forget(addresses);
    }

    /// Requests a dump and a full pass, VPP's global settings first.
    pub fn request_pass(&mut self) {
        self.dump_due = Some(DumpReason::Pass);
    }

    /// More writes are allowed than before, so the node is not in sync until the next pass.
    pub fn gate_opened(&mut self) {
        self.synced = false;
        self.request_pass();
    }

    /// Waits for the next event. Cancel safe.
    pub async fn wait(&mut self) -> SessionEvent {
        let dump = OptionFuture::from(self.pending_dump.as_mut().map(|pending_dump| &mut pending_dump.reply));
        let spot_check = OptionFuture::from(self.spot_check.as_mut().map(|check| &mut check.reply));
        let ping = OptionFuture::from(self.ping.as_mut());
        let conf = OptionFuture::from(self.conf_write.as_mut().map(|write| &mut write.reply));
        let garbage = OptionFuture::from(self.garbage.reply.as_mut());
        tokio::select! {
            biased;
            Some(job) = self.jobs.next(), if !self.jobs.is_empty() => SessionEvent::JobFinished(Box::new(job)),
            Some(result) = conf => SessionEvent::ConfWritten(result),
            Some(reply) = dump => SessionEvent::Dump(reply),
            Some(reply) = spot_check => SessionEvent::SpotCheck(reply),
            Some(result) = ping => SessionEvent::Pong(result),
            Some(result) = garbage => SessionEvent::GarbageCollected(result),
            // Last, so that the replies received before the end are processed.
            ended = &mut self.closed => SessionEvent::Closed(ended),
        }
    }

    /// Time at which [`Self::pump`] must be called even without an event.
    pub fn next_timer(&self) -> Instant {
        let mut next = self.next_ping.min(self.next_pass);
        for at in [self.verify_at.filter(|_| self.spot_check.is_none()), self.retries.next(), self.next_collection()]
            .into_iter()
            .flatten()
        {
            next = next.min(at);
        }
        next
    }

    /// Processes expired timers.
    fn tick(&mut self, state: &AgentState, now: Instant) {
        if now >= self.next_ping {
            self.next_ping = now + self.ping_interval;
            if self.ping.is_none() {
                self.ping = Some(self.dataplane.ping());
            }
        }
        if now >= self.next_pass {
            self.next_pass = now + state.sync_interval();
            self.request_pass();
        }
        if self.spot_check.is_none() && self.verify_at.is_some_and(|at| now >= at) {
            self.verify(now);
        }
        let due = self.retries.take_due(now);
        self.enqueue(due);
    }

    /// Processes the result of a ping: a session whose ping failed ends. The end is a separate event.
    pub fn pong(&mut self, result: &Result<(), DataplaneError>) {
        self.ping = None;
        if let Err(error) = result {
            self.dataplane.close(error);
        }
    }

    /// Starts the work that can be started now, as much as `budget` allows.
    pub fn pump(&mut self, state: &mut AgentState, now: Instant, budget: &mut TurnBudget) {
        self.tick(state, now);
        self.start_dump(state);
        if self.cached.is_none() || !self.conf_settled || self.waits_for_source() || state.gate(now) == Gate::Closed {
            return;
        }
        self.enqueue(state.recreates.next());
        while budget.has_remaining()
            && self.queue.admits(EVENT_WINDOW)
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
        self.save_owned_vips(state, now);
        self.collect_garbage(now);
    }

    /// Writes the file of owned VIPs; after earlier errors, a pass adds the VIPs that waited for it.
    fn save_owned_vips(&mut self, state: &mut AgentState, now: Instant) {
        if state.save_owned_vips(now) {
            self.request_pass();
        }
    }

    fn start_dump(&mut self, state: &AgentState) {
        if self.pending_dump.is_some() || self.pass.is_some() {
            return;
        }
        if let Some(reason) = self.dump_due.take() {
            let number = self.counter.next();
            let before = self.cached.as_ref().map(CachedVppState::reading).unwrap_or_default();
            let (conf, reading) = (self.dataplane.conf(), self.dataplane.read(before));
            let reply = in_own_task(async move { Ok((conf.await?, reading.await?)) });
            let (started, requested_at) = (Instant::now(), (state.clock)());
            self.pending_dump = Some(PendingDump { reply, number, reason, started, requested_at, since: Vec::new() });
        }
    }

    /// Processes the reply to a dump request: updates the cached state, then starts a pass or plans verified addresses.
    pub fn dump_received(
        &mut self,
        state: &mut AgentState,
        reply: Result<(ActualConf, VppReading), DataplaneError>,
        now: Instant,
    ) {
        let Some(pending_dump) = self.pending_dump.take() else { return };
        let (conf, VppReading { actual, flows }) = match reply {
            Ok(read) => read,
            // The end of the session is a separate event.
            Err(DataplaneError::Closed(_)) => return,
            // Retried after a delay: the reply may be lost every time.
            Err(error) => {
                state.sync_error(None, "read", &error.to_string());
                match pending_dump.reason {
                    DumpReason::Pass => self.next_pass = now + DUMP_RETRY,
                    DumpReason::Verify => self.verify_at = Some(now + DUMP_RETRY),
                }
                return;
            }
        };
        let mut cached = CachedVppState { conf, actual: actual.clone(), flows, number: pending_dump.number };
        pending_dump.since.iter().for_each(|step| cached.apply(step));
        self.spot_checks = self.spot_checks.after_dump(&cached);
        let before = self.cached.replace(cached);
        let verifies_large_change = self.is_large_change();
        self.last_dump = Some(FinishedDump { started: pending_dump.started, finished: now, verifies_large_change });
        self.publish_vpp_state(state, before.as_ref());
        // After the event, which it has as well.
        let at = pending_dump.time((state.clock)());
        state.dump.send_replace(Some(Arc::new(LbDump { at, conf, actual })));
        self.warn_unreadable(state);
        self.write_conf(state, now);
        let verified = self.take_verified(state, pending_dump.number);
        match pending_dump.reason {
            DumpReason::Pass => self.begin_pass(state, now),
            // Failed addresses wait for their retry.
            DumpReason::Verify => {
                let verified =
                    verified.into_iter().filter(|address| !self.retries.is_waiting(*address)).collect::<Vec<_>>();
                self.enqueue(verified);
            }
        }
    }
}

/// Trigger of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The address's configuration or health changed, a retry is due, or the address was verified.
    Event,
    /// A full pass.
    Pass,
}

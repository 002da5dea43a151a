//! The effects of executed steps on flows, published with `vpp-lb-sync-done` and as metrics.
//!
//! ```text
//!  agent's task ──ExecutedPlan, FinishedSync──▶ thread `flows` (low priority) ──▶ vpp-lb-sync-done, metrics
//! ```
//!
//! Computing two new-flow tables takes longer than a plan, so a thread of its own does it: neither the first request
//! of a transition nor the verification waits for it. With [`Accounting::Inline`], the agent's task computes them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{metrics::Metrics, stats::Publication};
use maglev_model::{
    Name,
    actual::{Actual, VppVip},
    counters::StatsSnapshot,
    desired::Mismatch,
    event::{Event, Events, Scope, SyncCounts, SyncFlows},
    plan::{FlowChange, Step, flow_changes},
    table_change::TableChange,
    vip::VipKey,
};

/// Messages that may wait for the thread.
const WAITING: usize = 4096;

/// Time that the thread rests after each message, as a multiple of the time that the message took: many changes at once must
/// not slow down the next transition, also where cores share their units.
const REST: u32 = 3;

/// Niceness of the thread, from 0 (normal priority) to 19 (lowest).
const NICENESS: i32 = 5;

/// The place where the effects on flows are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accounting {
    /// A thread of its own.
    #[default]
    Thread,
    /// The agent's task, for simulations: the order of events is the same in each run.
    Inline,
    /// Nowhere: the effects are unknown. For measuring what their computation costs.
    Off,
}

/// The steps of a plan that VPP executed.
pub struct ExecutedPlan {
    pub steps: Vec<Step>,
    pub recreates: BTreeMap<VipKey, Mismatch>,
    /// The changed VIPs before the plan.
    pub before: Actual,
    /// The Frontends of the changed VIPs.
    pub frontends: BTreeMap<VppVip, Name>,
}

/// A sync that has ended, except for its effect on flows.
#[derive(Clone, Copy, Debug)]
pub struct FinishedSync {
    pub scope: Scope,
    pub counts: SyncCounts,
    pub failed: u32,
    pub duration: Duration,
}

impl FinishedSync {
    fn event(self, flows: SyncFlows) -> Event {
        let Self { scope, counts, failed, duration } = self;
        Event::SyncDone { scope, counts, failed, duration, flows }
    }
}

enum Message {
    /// Steps of a pass.
    Pass(ExecutedPlan, Publication),
    /// The end of a pass.
    PassDone(FinishedSync),
    /// The steps of the sync of one address, and its end.
    Address(ExecutedPlan, Publication, FinishedSync),
    /// The Frontend was deleted.
    Forget(Name),
}

/// Sends executed steps to the place where their effects on flows are computed.
pub struct FlowAccounting {
    events: Events,
    metrics: Metrics,
    stats_rx: watch::Receiver<Publication>,
    target: Target,
}

enum Target {
    Thread(SyncSender<Message>),
    Inline(Box<Accountant>),
    Off,
}

impl FlowAccounting {
    /// Starts the thread, if `accounting` asks for it.
    pub fn new(
        accounting: Accounting,
        events: Events,
        metrics: Metrics,
        stats_rx: watch::Receiver<Publication>,
    ) -> Self {
        let mut accountant = Accountant { events: events.clone(), metrics: metrics.clone(), pass: Effects::default() };
        let inline = |accountant| Target::Inline(Box::new(accountant));
        let target = match accounting {
            Accounting::Inline => inline(accountant),
            Accounting::Off => Target::Off,
            Accounting::Thread => {
                let (messages_tx, messages_rx) = sync_channel(WAITING);
                let spare = accountant.clone();
                let run = move || accountant.run(&messages_rx);
                match thread::Builder::new().name("flows".to_owned()).spawn(run) {
                    Ok(_) => Target::Thread(messages_tx),
                    Err(error) => {
                        tracing::warn!(%error, "no thread for the accounting of flows: the agent's task does it");
                        inline(spare)
                    }
                }
            }
        };
        Self { events, metrics, stats_rx, target }
    }

    /// Accounts for steps of a pass.
    pub fn record_pass(&mut self, plan: ExecutedPlan) {
        let stats = self.stats();
        self.send(Message::Pass(plan, stats));
    }

    /// Publishes the end of a pass.
    pub fn finish_pass(&mut self, sync: FinishedSync) {
        self.send(Message::PassDone(sync));
    }

    /// Accounts for the steps of the sync of one address, and publishes its end.
    pub fn finish_address(&mut self, plan: ExecutedPlan, sync: FinishedSync) {
        let stats = self.stats();
        self.send(Message::Address(plan, stats, sync));
    }

    /// Drops the series of a deleted Frontend.
    pub fn forget(&mut self, frontend: &Name) {
        self.send(Message::Forget(frontend.clone()));
    }

    fn stats(&self) -> Publication {
        self.stats_rx.borrow().clone()
    }

    fn send(&mut self, message: Message) {
        let message = match &mut self.target {
            Target::Inline(accountant) => return accountant.process(message),
            Target::Off => message,
            Target::Thread(messages_tx) => match messages_tx.try_send(message) {
                Ok(()) => return,
                Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => message,
            },
        };
        if let Message::PassDone(sync) | Message::Address(_, _, sync) = message {
            self.metrics.unaccounted();
            self.events.emit(sync.event(SyncFlows::default()));
        }
    }
}

impl fmt::Debug for FlowAccounting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlowAccounting")
    }
}

/// Computes the effects on flows, and publishes them.
#[derive(Clone)]
struct Accountant {
    events: Events,
    metrics: Metrics,
    /// The effects of the current pass.
    pass: Effects,
}

impl Accountant {
    #[expect(clippy::disallowed_methods, reason = "the thread runs nothing else")]
    fn run(&mut self, messages_rx: &Receiver<Message>) {
        maglev_net::lower_thread_priority(NICENESS);
        while let Ok(message) = messages_rx.recv() {
            let start = Instant::now();
            self.process(message);
            thread::sleep(start.elapsed() * REST);
        }
    }

    fn process(&mut self, message: Message) {
        match message {
            Message::Pass(plan, stats) => {
                let effects = self.account(&plan, stats.as_deref());
                self.pass.add(effects);
            }
            Message::PassDone(sync) => {
                let effects = std::mem::take(&mut self.pass);
                self.events.emit(sync.event(effects.into()));
            }
            Message::Address(plan, stats, sync) => {
                let effects = self.account(&plan, stats.as_deref());
                self.events.emit(sync.event(effects.into()));
            }
            Message::Forget(frontend) => self.metrics.forget_moved(&frontend),
        }
    }

    fn account(&self, plan: &ExecutedPlan, stats: Option<&StatsSnapshot>) -> Effects {
        let mut effects = Effects::default();
        for (vip, change) in flow_changes(&plan.steps, &plan.recreates, &plan.before) {
            effects.add(Effects::new(&vip, &change, stats));
            if let (Some(table), Some(frontend)) = (&change.table, plan.frontends.get(&vip)) {
                self.metrics.moved(frontend, table.moved());
            }
        }
        effects
    }
}

/// The effects on the flows of some VIPs.
#[derive(Clone, Copy, Debug)]
struct Effects {
    /// The largest share of buckets of a VIP that moved, in percent; `None` if that of a VIP is unknown.
    moved: Option<f64>,
    /// The number of flushed flows, at most; `None` if it is unknown.
    flushed: Option<u32>,
}

impl Default for Effects {
    fn default() -> Self {
        Self { moved: Some(0.0), flushed: Some(0) }
    }
}

impl Effects {
    fn new(vip: &VppVip, change: &FlowChange, stats: Option<&StatsSnapshot>) -> Self {
        let counters = || stats?.counters.as_ref()?.vips.get(vip);
        let flows = |address| counters()?.flows.get(address).copied();
        let flushed = change.flushed.iter().try_fold(0u32, |sum, address| Some(sum.saturating_add(flows(address)?)));
        Self { moved: change.table.as_ref().map(TableChange::moved_percent), flushed }
    }

    fn add(&mut self, other: Self) {
        self.moved = self.moved.zip(other.moved).map(|(one, other)| one.max(other));
        self.flushed = self.flushed.zip(other.flushed).map(|(one, other)| one.saturating_add(other));
    }
}

impl From<Effects> for SyncFlows {
    fn from(Effects { moved, flushed }: Effects) -> Self {
        Self { buckets_moved: moved, flushed }
    }
}

/// The Frontends of the VIPs of `before` and of `steps`.
pub fn frontends_of<'s>(
    steps: impl IntoIterator<Item = &'s Step>,
    owner: impl Fn(VppVip) -> Option<Name>,
) -> BTreeMap<VppVip, Name> {
    let mut frontends = BTreeMap::new();
    for vip in steps.into_iter().map(Step::vip) {
        if !frontends.contains_key(&vip)
            && let Some(name) = owner(vip)
        {
            frontends.insert(vip, name);
        }
    }
    frontends
}

//! The effects of executed steps on flows, published with `vpp-lb-sync-done` and as metrics.
//!
//! ```text
//!  agent's task ──ExecutedPlan──▶ thread `flows` (idle priority) ──Computed──▶ agent's task ──▶ vpp-lb-sync-done, metrics
//! ```
//!
//! Computing two new-flow tables takes longer than a plan, so a thread does it in time that nothing else needs: neither the first
//! request of a transition nor the verification waits for it. The thread takes none of our locks, since it may not run for long while other
//! threads do; the agent's task looks for its results. With [`Accounting::Inline`], the agent's task computes them.

mod worker;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use self::worker::{Job, Worker};
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

/// Computations that may wait for the thread.
const WAITING: usize = 4096;
/// Interval of looking for results.
const POLL: Duration = Duration::from_millis(50);

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

impl ExecutedPlan {
    /// True if all of its VIPs are new: they have no flows yet.
    fn adds_only(&self) -> bool {
        self.before.vips.is_empty()
    }
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

/// Something that is published after all before it.
enum Pending {
    /// Steps of a pass; `None` if their effects stay unknown.
    Pass(Option<Arc<Job>>),
    /// The end of a pass.
    PassDone(FinishedSync),
    /// The steps of the sync of one address, and its end.
    Address(Option<Arc<Job>>, FinishedSync),
    /// The Frontend was deleted.
    Forget(Name),
}

/// Has the effects of executed steps computed, and publishes them.
pub struct FlowAccounting {
    events: Events,
    metrics: Metrics,
    stats_rx: watch::Receiver<Publication>,
    target: Target,
    pending: VecDeque<Pending>,
    /// The effects of the current pass.
    pass: Effects,
}

enum Target {
    Thread(Worker),
    Inline,
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
        let target = match accounting {
            Accounting::Inline => Target::Inline,
            Accounting::Off => Target::Off,
            Accounting::Thread => Worker::start(WAITING).map_or_else(
                |error| {
                    tracing::warn!(%error, "no thread for the accounting of flows: the agent's task does it");
                    Target::Inline
                },
                Target::Thread,
            ),
        };
        Self { events, metrics, stats_rx, target, pending: VecDeque::new(), pass: Effects::default() }
    }

    /// Accounts for steps of a pass.
    pub fn record_pass(&mut self, plan: ExecutedPlan) {
        let job = self.submit(plan);
        self.publish_after_others(Pending::Pass(job));
    }

    /// Publishes the end of a pass.
    pub fn finish_pass(&mut self, sync: FinishedSync) {
        self.publish_after_others(Pending::PassDone(sync));
    }

    /// Accounts for the steps of the sync of one address, and publishes its end.
    pub fn finish_address(&mut self, plan: ExecutedPlan, sync: FinishedSync) {
        let job = self.submit(plan);
        self.publish_after_others(Pending::Address(job, sync));
    }

    /// Drops the series of a deleted Frontend.
    pub fn forget(&mut self, frontend: &Name) {
        self.publish_after_others(Pending::Forget(frontend.clone()));
    }

    /// Has the effects of a plan computed. `None` if they stay unknown.
    fn submit(&self, plan: ExecutedPlan) -> Option<Arc<Job>> {
        let job = Arc::new(Job::new(plan, self.stats_rx.borrow().clone()));
        match &self.target {
            Target::Off => return None,
            Target::Inline => job.compute(),
            // No table is computed: there is nothing to wait for.
            Target::Thread(_) if job.is_trivial() => job.compute(),
            Target::Thread(worker) if worker.submit(&job) => {}
            Target::Thread(_) => {
                self.metrics.unaccounted();
                return None;
            }
        }
        Some(job)
    }

    fn publish_after_others(&mut self, pending: Pending) {
        self.pending.push_back(pending);
        self.publish_computed();
    }

    /// Publishes the effects that have been computed, in the order of the plans.
    pub fn publish_computed(&mut self) {
        while let Some(next) = self.pending.pop_front_if(|next| next.is_ready()) {
            match next {
                Pending::Pass(job) => {
                    let effects = self.publish_moved(job.as_deref());
                    self.pass.add(effects);
                }
                Pending::PassDone(sync) => {
                    let effects = std::mem::take(&mut self.pass);
                    self.events.emit(sync.event(effects.into()));
                }
                Pending::Address(job, sync) => {
                    let effects = self.publish_moved(job.as_deref());
                    self.events.emit(sync.event(effects.into()));
                }
                Pending::Forget(frontend) => self.metrics.forget_moved(&frontend),
            }
        }
    }

    /// The time at which to look for results; `None` if all are published.
    pub fn next_timer(&self, now: Instant) -> Option<Instant> {
        (!self.pending.is_empty()).then(|| now + POLL)
    }

    fn publish_moved(&self, job: Option<&Job>) -> Effects {
        let Some(Computed { effects, moved }) = job.and_then(Job::computed) else { return Effects::UNKNOWN };
        for (frontend, buckets) in moved {
            self.metrics.moved(frontend, *buckets);
        }
        *effects
    }
}

impl Pending {
    fn is_ready(&self) -> bool {
        match self {
            Self::Pass(job) | Self::Address(job, _) => job.as_ref().is_none_or(|job| job.computed().is_some()),
            Self::PassDone(_) | Self::Forget(_) => true,
        }
    }
}

impl fmt::Debug for FlowAccounting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlowAccounting")
    }
}

/// The effects of a plan.
struct Computed {
    effects: Effects,
    /// The number of moved buckets of each Frontend whose table changed.
    moved: Vec<(Name, u32)>,
}

impl Computed {
    fn new(plan: &ExecutedPlan, stats: Option<&StatsSnapshot>) -> Self {
        let mut computed = Self { effects: Effects::default(), moved: Vec::new() };
        if plan.adds_only() {
            computed.moved.extend(plan.frontends.values().map(|frontend| (frontend.clone(), 0)));
            return computed;
        }
        for (vip, change) in flow_changes(&plan.steps, &plan.recreates, &plan.before) {
            computed.effects.add(Effects::new(&vip, &change, stats));
            if let (Some(table), Some(frontend)) = (&change.table, plan.frontends.get(&vip)) {
                computed.moved.push((frontend.clone(), table.moved()));
            }
        }
        computed
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
    const UNKNOWN: Self = Self { moved: None, flushed: None };

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

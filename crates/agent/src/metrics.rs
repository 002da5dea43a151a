//! Metrics of the agent: changes made to VPP, durations and errors.

use std::{fmt, sync::Arc, time::Duration};

use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use maglev_model::{Name, event::Scope, plan::Step};

/// Values of the `step` label: the steps, and the other requests of a pass.
const STEPS: [&str; 7] = ["read", "set-conf", "add-vip", "remove-vip", "add-as", "remove-as", "set-weight"];

/// A change made to VPP. The names are those of the events `vpp-lb-sync-<kind>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncedChange {
    VipAdded,
    VipRemoved,
    VipRecreate,
    AsAdded,
    AsRemoved,
    AsWeightUpdated,
}

impl SyncedChange {
    const ALL: [Self; 6] =
        [Self::VipAdded, Self::VipRemoved, Self::VipRecreate, Self::AsAdded, Self::AsRemoved, Self::AsWeightUpdated];

    fn as_str(self) -> &'static str {
        match self {
            Self::VipAdded => "vip-added",
            Self::VipRemoved => "vip-removed",
            Self::VipRecreate => "vip-recreate",
            Self::AsAdded => "as-added",
            Self::AsRemoved => "as-removed",
            Self::AsWeightUpdated => "as-weight-updated",
        }
    }
}

impl From<&Step> for SyncedChange {
    fn from(step: &Step) -> Self {
        match step {
            Step::AddVip { .. } => Self::VipAdded,
            Step::RemoveVip { .. } => Self::VipRemoved,
            Step::AddAs { .. } => Self::AsAdded,
            Step::RemoveAs { .. } => Self::AsRemoved,
            Step::SetWeight { .. } => Self::AsWeightUpdated,
        }
    }
}

/// The agent's metrics. Clones share the series.
#[derive(Clone)]
pub struct Metrics {
    synced: IntCounterVec,
    /// Indexed by scope, then by position in [`SyncedChange::ALL`].
    counters: Arc<[[IntCounter; SyncedChange::ALL.len()]; 2]>,
    duration: HistogramVec,
    errors: IntCounterVec,
    moved: IntCounterVec,
    unaccounted: IntCounter,
}

impl Default for Metrics {
    fn default() -> Self {
        const VALID: &str = "names and labels are valid";
        let opts = Opts::new("maglev_vpp_lbsync_total", "Changes made to VPP's lb plugin.");
        let synced = IntCounterVec::new(opts, &["scope", "kind"]).expect(VALID);
        let for_scope = |scope| SyncedChange::ALL.map(|kind| synced.with_label_values(&[scope, kind.as_str()]));
        let counters = Arc::new(SCOPES.map(for_scope));
        let help = "Duration of full passes and of work on one address.";
        let opts = HistogramOpts::new("maglev_vpp_lbsync_duration_seconds", help);
        // From one request to a full sync of thousands of VIPs.
        let opts = opts.buckets(vec![0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]);
        let duration = HistogramVec::new(opts, &["scope"]).expect(VALID);
        for scope in SCOPES {
            duration.with_label_values(&[scope]);
        }
        let opts = Opts::new("maglev_vpp_lbsync_errors_total", "Steps that VPP refused or did not answer.");
        let errors = IntCounterVec::new(opts, &["step"]).expect(VALID);
        for step in STEPS {
            errors.with_label_values(&[step]);
        }
        let help = "Buckets of new-flow tables that moved to another application server or to none.";
        let moved = IntCounterVec::new(Opts::new("maglev_vpp_buckets_moved_total", help), &["frontend"]).expect(VALID);
        let help = "Syncs whose moved buckets were not computed, because too many others waited.";
        let unaccounted = IntCounter::new("maglev_vpp_lbsync_unaccounted_total", help).expect(VALID);
        Self { synced, counters, duration, errors, moved, unaccounted }
    }
}

const SCOPES: [&str; 2] = ["all", "address"];

fn scope_index(scope: Scope) -> usize {
    match scope {
        Scope::All => 0,
        Scope::Address(_) => 1,
    }
}

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// A metric name is already registered.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.synced.clone()))?;
        registry.register(Box::new(self.duration.clone()))?;
        registry.register(Box::new(self.errors.clone()))?;
        registry.register(Box::new(self.moved.clone()))?;
        registry.register(Box::new(self.unaccounted.clone()))
    }

    pub(crate) fn synced(&self, scope: Scope, kind: SyncedChange) {
        self.counters[scope_index(scope)][kind as usize].inc();
    }

    pub(crate) fn done(&self, scope: Scope, duration: Duration) {
        self.duration.with_label_values(&[SCOPES[scope_index(scope)]]).observe(duration.as_secs_f64());
    }

    pub(crate) fn error(&self, step: &'static str) {
        self.errors.with_label_values(&[step]).inc();
    }

    pub(crate) fn moved(&self, frontend: &Name, buckets: u32) {
        self.moved.with_label_values(&[frontend.as_str()]).inc_by(buckets.into());
    }

    /// Drops the series of a deleted Frontend.
    pub(crate) fn forget_moved(&self, frontend: &Name) {
        // Without moved buckets there is no series.
        let _ = self.moved.remove_label_values(&[frontend.as_str()]);
    }

    pub(crate) fn unaccounted(&self) {
        self.unaccounted.inc();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

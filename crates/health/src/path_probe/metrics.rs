//! Metrics of path probes.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::pair::SynResult;

/// The metrics of all path probes. Clones share the series.
#[derive(Clone, Debug)]
pub struct PathMetrics {
    syns: IntCounterVec,
    pub(crate) discarded: IntCounter,
}

impl Default for PathMetrics {
    fn default() -> Self {
        const VALID: &str = "the name is a valid metric name";
        let syns = Opts::new(
            "maglev_path_probe_syns_total",
            "SYNs of path probes, by result: accepted, refused, lost, too_large (for the route of this node) or not_sent.",
        );
        let syns = IntCounterVec::new(syns, &["result"]).expect(VALID);
        for result in ["accepted", "refused", "lost", "too_large", "not_sent"] {
            syns.with_label_values(&[result]);
        }
        let discarded = IntCounter::new(
            "maglev_path_probe_discarded_total",
            "SYNs of path probes without an answer that were not counted, because this process did not get enough CPU time.",
        );
        Self { syns, discarded: discarded.expect(VALID) }
    }
}

impl PathMetrics {
    /// # Errors
    /// The registry has a metric of one of the names already.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.syns.clone()))?;
        registry.register(Box::new(self.discarded.clone()))
    }

    pub(crate) fn count(&self, result: &SynResult) {
        let result = match result {
            SynResult::Accepted { .. } => "accepted",
            SynResult::Refused => "refused",
            SynResult::Lost => "lost",
            SynResult::TooLarge => "too_large",
            SynResult::NotSent { .. } => "not_sent",
        };
        self.syns.with_label_values(&[result]).inc();
    }
}

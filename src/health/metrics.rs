//! What the health room counts.

use prometheus::{HistogramOpts, HistogramVec, IntCounter, Registry};

/// The health room's metrics. A clone counts into the same series.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) duration: HistogramVec,
    pub(super) discarded: IntCounter,
    pub(super) not_probed: IntCounter,
}

impl Default for Metrics {
    fn default() -> Self {
        let duration = HistogramOpts::new("maglev_probe_duration_seconds", "How long probes took, by type.");
        let counter = |name, help| IntCounter::new(name, help).expect("the name is a valid metric name");
        Self {
            duration: HistogramVec::new(duration, &["type"]).expect("the name is a valid metric name"),
            discarded: counter(
                "maglev_probe_discarded_total",
                "Failed probes that did not count because this process was starved or paused meanwhile.",
            ),
            not_probed: counter(
                "maglev_probe_not_sent_total",
                "Probes that this node could not send, for want of a descriptor, a port or the source address.",
            ),
        }
    }
}

impl Metrics {
    /// Makes the metrics part of `registry`.
    ///
    /// # Errors
    /// One of the names is taken.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.duration.clone()))?;
        registry.register(Box::new(self.discarded.clone()))?;
        registry.register(Box::new(self.not_probed.clone()))
    }
}

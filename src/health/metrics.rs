//! What the health room counts.

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, Registry};

/// The health room's metrics. A clone counts into the same series.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) duration: HistogramVec,
    pub(super) lateness: Histogram,
    pub(super) discarded: IntCounter,
    pub(super) not_probed: IntCounter,
}

impl Default for Metrics {
    fn default() -> Self {
        let half_a_millisecond_to_a_second = prometheus::exponential_buckets(0.0005, 2.0, 12);
        Self::with_lateness_buckets(half_a_millisecond_to_a_second.expect("they are positive and grow"))
    }
}

impl Metrics {
    /// The metrics, with these bounds in seconds for how late probes begin.
    #[must_use]
    pub fn with_lateness_buckets(buckets: Vec<f64>) -> Self {
        let lateness = HistogramOpts::new("maglev_probe_lateness_seconds", "How much later than due probes began.");
        let duration = HistogramOpts::new("maglev_probe_duration_seconds", "How long probes took, by type.");
        let counter = |name, help| IntCounter::new(name, help).expect("the name is a valid metric name");
        Self {
            duration: HistogramVec::new(duration, &["type"]).expect("the name is a valid metric name"),
            lateness: Histogram::with_opts(lateness.buckets(buckets)).expect("the name is a valid metric name"),
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
        registry.register(Box::new(self.lateness.clone()))?;
        registry.register(Box::new(self.discarded.clone()))?;
        registry.register(Box::new(self.not_probed.clone()))
    }
}

//! What the health room counts. Nothing here locks or allocates for a probe: handles are taken when a
//! loop begins, and a probe adds to atomics.

mod totals;

use std::sync::Arc;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, Registry};

pub use self::totals::Counts;
use self::totals::Totals;
use maglev_model::name::Name;

/// Of probes: from a refusal on loopback to the longest timeout.
const DURATIONS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Of starts: tokio's timers have a millisecond.
const DELAYS: [f64; 15] =
    [0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// The health room's metrics. A clone counts into the same series.
#[derive(Clone, Debug)]
pub struct Metrics {
    duration: HistogramVec,
    totals: Totals,
    pub(crate) start_delay: Histogram,
    pub(crate) discarded: IntCounter,
    pub(crate) not_probed: IntCounter,
    pub(crate) limited: IntCounter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::with_delay_buckets(DELAYS.to_vec())
    }
}

impl Metrics {
    /// The metrics, with these bounds in seconds for how late probes begin.
    pub fn with_delay_buckets(delays: Vec<f64>) -> Self {
        const VALID: &str = "the name is a valid metric name";
        let duration = HistogramOpts::new("maglev_probe_duration_seconds", "How long probes took, by type.");
        let delay = HistogramOpts::new("maglev_probe_start_delay_seconds", "How late probes began.");
        let counter = |name, help| IntCounter::new(name, help).expect(VALID);
        Self {
            duration: HistogramVec::new(duration.buckets(DURATIONS.to_vec()), &["type"]).expect(VALID),
            totals: Totals::new(),
            start_delay: Histogram::with_opts(delay.buckets(delays)).expect(VALID),
            discarded: counter(
                "maglev_probe_discarded_total",
                "Failed probes that did not count because this process was starved or paused meanwhile.",
            ),
            not_probed: counter(
                "maglev_probe_not_sent_total",
                "Probes that this node could not send, for want of a descriptor, a port or the source address.",
            ),
            limited: counter(
                "maglev_probe_limit_total",
                "Times that due probes had to wait because as many as this process has descriptors for were under way.",
            ),
        }
    }

    /// Makes the metrics part of `registry`.
    ///
    /// # Errors
    /// One of the names is taken.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.duration.clone()))?;
        registry.register(Box::new(self.totals.clone()))?;
        registry.register(Box::new(self.start_delay.clone()))?;
        registry.register(Box::new(self.discarded.clone()))?;
        registry.register(Box::new(self.not_probed.clone()))?;
        registry.register(Box::new(self.limited.clone()))
    }

    /// Where the probes of `backend` by a check of type `kind` are counted from now on. What was
    /// counted of another type is forgotten.
    pub(crate) fn track(&self, backend: &Name, kind: &'static str) -> Tally {
        let counts = self.totals.track(backend, kind);
        Tally { duration: self.duration.with_label_values(&[kind]), counts }
    }

    /// Forgets the series of a backend that is gone, or is not probed any more.
    pub(crate) fn forget(&self, backend: &Name) {
        self.totals.forget(backend);
    }
}

/// Where the probes of one backend are counted.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub duration: Histogram,
    pub counts: Arc<Counts>,
}

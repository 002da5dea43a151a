//! Metrics of probes. Counting a probe neither locks nor allocates: a loop takes its handles when it starts, and each
//! probe adds to atomics.

mod probe_totals;

use std::sync::Arc;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, Registry};

pub use self::probe_totals::ProbeCounts;
use self::probe_totals::ProbeTotals;
use maglev_model::name::Name;

/// Histogram bounds of probe durations in seconds: from a refused connection on loopback to the longest timeout.
const DURATION_BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Histogram bounds of start delays in seconds; Tokio's timers have a resolution of 1 ms.
const DELAY_BUCKETS: [f64; 15] =
    [0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Histogram bounds of start delays by namespace in seconds: few, since there is a histogram per namespace.
const NAMESPACE_DELAY_BUCKETS: [f64; 8] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// The metrics of all probes. Clones share the series.
#[derive(Clone, Debug)]
pub struct ProbeMetrics {
    duration: HistogramVec,
    totals: ProbeTotals,
    pub(crate) start_delay: Histogram,
    /// One histogram for each namespace with a Backend that is or was probed.
    namespace_start_delay: HistogramVec,
    pub(crate) discarded: IntCounter,
    pub(crate) not_probed: IntCounter,
    pub(crate) limited: IntCounter,
}

impl Default for ProbeMetrics {
    fn default() -> Self {
        Self::with_buckets(DELAY_BUCKETS.to_vec(), NAMESPACE_DELAY_BUCKETS.to_vec())
    }
}

impl ProbeMetrics {
    /// The metrics with other histogram bounds, in seconds, of all start delays.
    pub fn with_delay_buckets(bounds: Vec<f64>) -> Self {
        Self::with_buckets(bounds.clone(), bounds)
    }

    fn with_buckets(bounds: Vec<f64>, namespace_bounds: Vec<f64>) -> Self {
        const VALID: &str = "the name is a valid metric name";
        let duration = HistogramOpts::new(
            "maglev_probe_duration_seconds",
            "Duration of probes that completed or timed out, by type.",
        );
        let delay = HistogramOpts::new(
            "maglev_probe_start_delay_seconds",
            "Delay between the due time and the start of a probe.",
        );
        let namespace_delay = HistogramOpts::new(
            "maglev_probe_namespace_start_delay_seconds",
            "Delay between the due time and the start of a probe, by namespace of the Backend.",
        );
        let namespace_delay = namespace_delay.buckets(namespace_bounds);
        let counter = |name, help| IntCounter::new(name, help).expect(VALID);
        Self {
            duration: HistogramVec::new(duration.buckets(DURATION_BUCKETS.to_vec()), &["type"]).expect(VALID),
            totals: ProbeTotals::new(),
            start_delay: Histogram::with_opts(delay.buckets(bounds)).expect(VALID),
            namespace_start_delay: HistogramVec::new(namespace_delay, &["backend_namespace"]).expect(VALID),
            discarded: counter(
                "maglev_probe_discarded_total",
                "Failed probes that were not counted, because this process did not get enough CPU time.",
            ),
            not_probed: counter(
                "maglev_probe_not_sent_total",
                "Probes that this node could not send or evaluate: no descriptor, port, source address or CPU time for expectedBody.",
            ),
            limited: counter(
                "maglev_probe_limit_total",
                "Times that due probes had to wait, because their namespace had used its share of the probes in flight.",
            ),
        }
    }

    /// # Errors
    /// The registry has a metric of one of the names already.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.duration.clone()))?;
        registry.register(Box::new(self.totals.clone()))?;
        registry.register(Box::new(self.start_delay.clone()))?;
        registry.register(Box::new(self.namespace_start_delay.clone()))?;
        registry.register(Box::new(self.discarded.clone()))?;
        registry.register(Box::new(self.not_probed.clone()))?;
        registry.register(Box::new(self.limited.clone()))
    }

    /// The handles for probes of `backend` by a check of type `kind`. Counts of another type are discarded.
    pub(crate) fn track(&self, backend: &Name, kind: &'static str) -> BackendProbeMetrics {
        let counts = self.totals.track(backend, kind);
        let start_delay = self.namespace_start_delay.with_label_values(&[backend.namespace()]);
        BackendProbeMetrics { duration: self.duration.with_label_values(&[kind]), start_delay, counts }
    }

    /// Removes the series of a removed backend.
    pub(crate) fn remove(&self, backend: &Name) {
        if self.totals.remove(backend) {
            // Fails only if no Backend of the namespace was probed.
            let _ = self.namespace_start_delay.remove_label_values(&[backend.namespace()]);
        }
    }
}

/// Handles to the metrics of one backend.
#[derive(Clone, Debug)]
pub(crate) struct BackendProbeMetrics {
    pub duration: Histogram,
    pub start_delay: Histogram,
    pub counts: Arc<ProbeCounts>,
}

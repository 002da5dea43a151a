//! The controller's own metrics.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector};

use super::{Error, status::Class};
use maglev_kube::WriteError;

/// Counters and gauges; a clone counts into the same ones.
#[derive(Clone)]
pub struct ControllerMetrics {
    pub(crate) leader: IntGauge,
    /// Time of one look at everything that was touched.
    pub(crate) reconcile: Histogram,
    pub(crate) writes: IntCounterVec,
    pub(crate) errors: IntCounterVec,
    pub(crate) events: IntCounterVec,
    pub(crate) waiting: IntGaugeVec,
    pub(crate) links: IntGaugeVec,
}

impl ControllerMetrics {
    /// Metrics that nobody sees yet.
    ///
    /// # Errors
    /// If a name or help text is not one: never.
    pub fn new() -> Result<Self, Error> {
        let rejected = |name: &'static str| move |source| Error::Metric { name, source };
        let counters = |name: &'static str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels).map_err(rejected(name))
        };
        let gauges = |name: &'static str, help: &str, labels: &[&str]| {
            IntGaugeVec::new(Opts::new(name, help), labels).map_err(rejected(name))
        };
        let name = "maglev_controller_leader";
        let leader = IntGauge::new(name, "Whether this replica leads: it alone writes.").map_err(rejected(name))?;
        let name = "maglev_controller_reconcile_duration_seconds";
        let help = "How long it took to fold the status of everything that something had happened to.";
        let opts = HistogramOpts::new(name, help).buckets(vec![0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0]);
        let reconcile = Histogram::with_opts(opts).map_err(rejected(name))?;
        Ok(Self {
            leader,
            reconcile,
            writes: counters(
                "maglev_controller_status_writes_total",
                "Status written, by kind of object and by how much it mattered; only answers are not rationed.",
                &["kind", "priority"],
            )?,
            errors: counters(
                "maglev_controller_errors_total",
                "Writes that did not happen, by kind of object and reason.",
                &["kind", "reason"],
            )?,
            events: counters(
                "maglev_controller_kubernetes_events_total",
                "Kubernetes Events, by what became of them: published, failed, or dropped for newer ones.",
                &["result"],
            )?,
            waiting: gauges(
                "maglev_controller_waiting",
                "Objects whose status is not yet what it should be, by how much that matters.",
                &["priority"],
            )?,
            links: gauges("maglev_controller_links", "Agents, by whether they answer.", &["state"])?,
        })
    }

    /// Registers all of them.
    ///
    /// # Errors
    /// If the registry has one already.
    pub fn register(&self, registry: &Registry) -> Result<(), Error> {
        let Self { leader, reconcile, writes, errors, events, waiting, links } = self.clone();
        let all: [(&'static str, Box<dyn Collector>); 7] = [
            ("maglev_controller_leader", Box::new(leader)),
            ("maglev_controller_reconcile_duration_seconds", Box::new(reconcile)),
            ("maglev_controller_status_writes_total", Box::new(writes)),
            ("maglev_controller_errors_total", Box::new(errors)),
            ("maglev_controller_kubernetes_events_total", Box::new(events)),
            ("maglev_controller_waiting", Box::new(waiting)),
            ("maglev_controller_links", Box::new(links)),
        ];
        for (name, metric) in all {
            registry.register(metric).map_err(|source| Error::Metric { name, source })?;
        }
        Ok(())
    }

    pub(crate) fn wrote(&self, kind: &str, class: Class) {
        self.writes.with_label_values(&[kind, class.as_str()]).inc();
    }

    pub(crate) fn failed(&self, kind: &str, error: &WriteError) {
        self.errors.with_label_values(&[kind, error.reason()]).inc();
    }
}

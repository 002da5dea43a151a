//! Metrics of the controller.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector};

use super::{Error, status::Priority};
use maglev_kube::WriteError;

/// Counters and gauges; clones share them.
#[derive(Clone)]
pub struct ControllerMetrics {
    pub(crate) leader: IntGauge,
    /// Duration of one computation of the statuses of all dirty objects.
    pub(crate) reconcile: Histogram,
    pub(crate) writes: IntCounterVec,
    pub(crate) errors: IntCounterVec,
    pub(crate) events: IntCounterVec,
    pub(crate) waiting: IntGaugeVec,
    pub(crate) links: IntGaugeVec,
    /// Services of the class, by state.
    pub(crate) services: IntGaugeVec,
    /// Addresses of Services.
    pub(crate) service_addresses: IntGauge,
    /// Addresses of AddressPolicies that give them to Services, by state.
    pub(crate) policy_addresses: IntGaugeVec,
    /// Writes of Frontends and of the status of Services.
    pub(crate) service_writes: IntCounterVec,
}

impl ControllerMetrics {
    /// Creates the metrics without registering them.
    ///
    /// # Errors
    /// If a name or help text is invalid.
    pub fn new() -> Result<Self, Error> {
        let rejected = |name: &'static str| move |source| Error::Metric { name, source };
        let counters = |name: &'static str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels).map_err(rejected(name))
        };
        let gauges = |name: &'static str, help: &str, labels: &[&str]| {
            IntGaugeVec::new(Opts::new(name, help), labels).map_err(rejected(name))
        };
        let name = "maglev_controller_leader";
        let leader = IntGauge::new(name, "1 if this replica is the leader and writes status, otherwise 0.")
            .map_err(rejected(name))?;
        let name = "maglev_controller_service_addresses";
        let service_addresses =
            IntGauge::new(name, "Addresses of Services of the class maglev.vpp.io/vpp.").map_err(rejected(name))?;
        let name = "maglev_controller_reconcile_duration_seconds";
        let help = "Time to compute the statuses of all objects affected by changes.";
        let opts = HistogramOpts::new(name, help).buckets(vec![0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0]);
        let reconcile = Histogram::with_opts(opts).map_err(rejected(name))?;
        Ok(Self {
            leader,
            reconcile,
            writes: counters(
                "maglev_controller_status_writes_total",
                "Status writes, by kind and priority. All priorities except answer are rate-limited.",
                &["kind", "priority"],
            )?,
            errors: counters(
                "maglev_controller_errors_total",
                "Failed status writes, by kind and reason.",
                &["kind", "reason"],
            )?,
            events: counters(
                "maglev_controller_kubernetes_events_total",
                "Kubernetes Events, by result: published, failed, or dropped in favor of newer ones.",
                &["result"],
            )?,
            waiting: gauges(
                "maglev_controller_waiting",
                "Objects whose status waits to be written, by priority.",
                &["priority"],
            )?,
            links: gauges("maglev_controller_links", "Agents, by state of the connection: up or down.", &["state"])?,
            services: gauges(
                "maglev_controller_services",
                "Services of the class maglev.vpp.io/vpp, by state: served, or waiting for an address or another object.",
                &["state"],
            )?,
            service_addresses,
            policy_addresses: gauges(
                "maglev_controller_policy_addresses",
                "Addresses of AddressPolicies with frontends.assign Auto, by state: allocated or available.",
                &["policy", "state"],
            )?,
            service_writes: counters(
                "maglev_controller_service_writes_total",
                "Writes for Services, by kind: Frontend, or Service for its status.",
                &["kind"],
            )?,
        })
    }

    /// # Errors
    /// If a metric is already registered.
    pub fn register(&self, registry: &Registry) -> Result<(), Error> {
        let Self {
            leader,
            reconcile,
            writes,
            errors,
            events,
            waiting,
            links,
            services,
            service_addresses,
            policy_addresses,
            service_writes,
        } = self.clone();
        let all: [(&'static str, Box<dyn Collector>); 11] = [
            ("maglev_controller_leader", Box::new(leader)),
            ("maglev_controller_reconcile_duration_seconds", Box::new(reconcile)),
            ("maglev_controller_status_writes_total", Box::new(writes)),
            ("maglev_controller_errors_total", Box::new(errors)),
            ("maglev_controller_kubernetes_events_total", Box::new(events)),
            ("maglev_controller_waiting", Box::new(waiting)),
            ("maglev_controller_links", Box::new(links)),
            ("maglev_controller_services", Box::new(services)),
            ("maglev_controller_service_addresses", Box::new(service_addresses)),
            ("maglev_controller_policy_addresses", Box::new(policy_addresses)),
            ("maglev_controller_service_writes_total", Box::new(service_writes)),
        ];
        for (name, metric) in all {
            registry.register(metric).map_err(|source| Error::Metric { name, source })?;
        }
        Ok(())
    }

    pub(crate) fn count_write(&self, kind: &str, priority: Priority) {
        self.writes.with_label_values(&[kind, priority.as_str()]).inc();
    }

    pub(crate) fn count_service_write(&self, kind: &str) {
        self.service_writes.with_label_values(&[kind]).inc();
    }

    pub(crate) fn count_error(&self, kind: &str, error: &WriteError) {
        self.errors.with_label_values(&[kind, error.reason()]).inc();
    }
}

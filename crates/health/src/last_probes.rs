//! The last probe of each backend, for status requests and the metric of the health counter.

use std::{fmt, sync::Arc};

use imbl::OrdMap;
use parking_lot::{Mutex, MutexGuard};
use prometheus::{
    GaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use maglev_model::{
    health::{LastProbe, Probing},
    name::Name,
};

/// The last probe of each backend. Clones share the entries. Reading locks only while an entry, or the persistent map of
/// all entries, is cloned in O(1).
#[derive(Clone, Default)]
pub struct LastProbes(Arc<Mutex<ProbesByBackend>>);

type ProbesByBackend = OrdMap<Name, Arc<Probing>>;

impl LastProbes {
    /// The progress of the probes of backend `name`; `None` before its first result.
    pub fn get(&self, name: &Name) -> Option<Probing> {
        let probing = self.entries().get(name).cloned();
        probing.map(Arc::unwrap_or_clone)
    }

    /// Records the last probe of `name`, and the health counter after that probe.
    pub(crate) fn record(&self, name: &Name, counter: Option<u16>, last: LastProbe) {
        let mut entries = self.entries();
        let probes = entries.get(name).map_or(0, |probing| probing.probes) + 1;
        entries.insert(name.clone(), Arc::new(Probing { counter, probes, last: Some(last) }));
    }

    /// Removes the entry of a backend that was removed or is probed in another way now.
    pub(crate) fn remove(&self, name: &Name) {
        self.entries().remove(name);
    }

    /// Registers `maglev_backend_health`.
    ///
    /// # Errors
    /// The registry has a metric of this name already.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        let metric = HealthMetric { last_probes: self.clone(), description: HealthMetric::gauges()? };
        registry.register(Box::new(metric))
    }

    fn entries(&self) -> MutexGuard<'_, ProbesByBackend> {
        self.0.lock()
    }
}

impl fmt::Debug for LastProbes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LastProbes")
    }
}

/// The health counters of all backends as a metric.
struct HealthMetric {
    last_probes: LastProbes,
    /// Without series; only its description is used.
    description: GaugeVec,
}

impl HealthMetric {
    fn gauges() -> prometheus::Result<GaugeVec> {
        let help = "HAProxy's health counter of a Backend, 0 to rise + fall - 1: the Backend is up if it is at least rise. \
                    Absent while the state is unknown, and if the Backend is not probed.";
        GaugeVec::new(Opts::new("maglev_backend_health", help), &["backend"])
    }
}

impl Collector for HealthMetric {
    fn desc(&self) -> Vec<&Desc> {
        self.description.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Ok(gauges) = Self::gauges() else { return Vec::new() };
        let entries = self.last_probes.entries().clone();
        for (name, probing) in &entries {
            if let Some(counter) = probing.counter {
                gauges.with_label_values(&[name.as_str()]).set(counter.into());
            }
        }
        gauges.collect()
    }
}

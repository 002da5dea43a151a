//! The last probe of each backend, for status requests and the metric of the health counter.

use std::{fmt, sync::Arc};

use imbl::OrdMap;
use parking_lot::{Mutex, MutexGuard};
use prometheus::{
    Opts, Registry,
    core::{Collector, Desc, Describer},
    proto::{Gauge, LabelPair, Metric, MetricFamily, MetricType},
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
        if let Some(probing) = entries.get_mut(name) {
            // Copied only while a reader holds it.
            let Probing { counter: old, probes, last: before } = Arc::make_mut(probing);
            (*old, *before) = (counter, Some(last));
            *probes += 1;
        } else {
            entries.insert(name.clone(), Arc::new(Probing { counter, probes: 1, last: Some(last) }));
        }
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
        let desc = Opts::new(NAME, HELP).variable_labels(vec![LABEL.to_owned()]).describe()?;
        registry.register(Box::new(HealthMetric { last_probes: self.clone(), desc }))
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

const NAME: &str = "maglev_backend_health";
const HELP: &str = "HAProxy's health counter of a Backend, 0 to rise + fall - 1: the Backend is up if it is at least rise. \
                    Absent while the state is unknown, and if the Backend is not probed.";
const LABEL: &str = "backend";

/// The health counters of all backends as a metric. Its series are built for each scrape, without a gauge for each.
struct HealthMetric {
    last_probes: LastProbes,
    desc: Desc,
}

impl Collector for HealthMetric {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let entries = self.last_probes.entries().clone();
        let metric = |(name, probing): (&Name, &Arc<Probing>)| {
            let mut label = LabelPair::default();
            label.set_name(LABEL.to_owned());
            label.set_value(name.to_string());
            let mut gauge = Gauge::default();
            gauge.set_value(probing.counter?.into());
            let mut metric = Metric::default();
            metric.set_label(vec![label]);
            metric.set_gauge(gauge);
            Some(metric)
        };
        let mut family = MetricFamily::default();
        family.set_name(NAME.to_owned());
        family.set_help(HELP.to_owned());
        family.set_field_type(MetricType::GAUGE);
        family.set_metric(entries.iter().filter_map(metric).collect());
        vec![family]
    }
}

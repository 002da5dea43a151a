//! How the probing of each backend goes, for who asks about one.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use imbl::OrdMap;
use prometheus::{
    GaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use maglev_model::{
    health::{LastProbe, Probing},
    name::Name,
};

/// The last probe of each backend. A clone reads the same book; reading holds up the checker for no longer than it takes
/// to share what is there, be it one entry or all of them.
#[derive(Clone, Default)]
pub struct ProbeBook(Arc<Mutex<Entries>>);

type Entries = OrdMap<Name, Arc<Probing>>;

impl ProbeBook {
    /// How the probing of `name` goes; `None` where nothing has been probed.
    pub fn get(&self, name: &Name) -> Option<Probing> {
        let probing = self.entries().get(name).cloned();
        probing.map(Arc::unwrap_or_clone)
    }

    /// A probe of `name` has ended, and brought its counter there.
    pub(crate) fn note(&self, name: &Name, counter: Option<u16>, last: LastProbe) {
        let mut entries = self.entries();
        let before = entries.get(name).map_or(0, |probing| probing.probes);
        entries.insert(name.clone(), Arc::new(Probing { counter, probes: before + 1, last: Some(last) }));
    }

    /// The backend is gone, or is probed otherwise from now on.
    pub(crate) fn forget(&self, name: &Name) {
        self.entries().remove(name);
    }

    /// Registers `maglev_backend_health`.
    ///
    /// # Errors
    /// The name is taken.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        let metric = HealthMetric { book: self.clone(), shape: HealthMetric::shape()? };
        registry.register(Box::new(metric))
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ProbeBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProbeBook")
    }
}

/// How far each backend is between down and up.
struct HealthMetric {
    book: ProbeBook,
    /// Empty: for its description.
    shape: GaugeVec,
}

impl HealthMetric {
    fn shape() -> prometheus::Result<GaugeVec> {
        let help = "The counter of a Backend's probes, as HAProxy has it: 0 to rise + fall - 1, up when at least rise; \
                    none where nothing is probed or known.";
        GaugeVec::new(Opts::new("maglev_backend_health", help), &["backend"])
    }
}

impl Collector for HealthMetric {
    fn desc(&self) -> Vec<&Desc> {
        self.shape.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Ok(gauges) = Self::shape() else { return Vec::new() };
        let entries = self.book.entries().clone();
        for (name, probing) in &entries {
            if let Some(counter) = probing.counter {
                gauges.with_label_values(&[name.as_str()]).set(counter.into());
            }
        }
        gauges.collect()
    }
}

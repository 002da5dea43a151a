//! `maglev_probe_total`: one counter per backend and code, made into series when somebody asks.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use prometheus::{
    Opts,
    core::{Collector, Desc, Describer},
    proto::{Counter, LabelPair, Metric, MetricFamily, MetricType},
};

use maglev_model::{health::ProbeCode, name::Name};

const NAME: &str = "maglev_probe_total";
const HELP: &str = "Probes that counted, by backend, type and code.";

/// The counts of all backends. A clone has the same ones.
#[derive(Clone, Debug)]
pub struct Totals {
    desc: Desc,
    /// Locked when a loop begins or ends and when somebody asks, never for a probe.
    backends: Arc<Mutex<BTreeMap<Name, Arc<Counts>>>>,
}

/// The counts of one backend.
#[derive(Debug)]
pub struct Counts {
    kind: &'static str,
    by_code: [AtomicU64; ProbeCode::ALL.len()],
}

impl Counts {
    /// Counts a probe.
    pub(crate) fn add(&self, code: ProbeCode) {
        self.by_code[code as usize].fetch_add(1, Relaxed);
    }
}

impl Totals {
    pub fn new() -> Self {
        let labels = ["backend", "type", "result", "code"].map(str::to_owned).to_vec();
        let desc = Opts::new(NAME, HELP).variable_labels(labels).describe();
        Self { desc: desc.expect("name and labels are valid"), backends: Arc::default() }
    }

    /// The counts of `backend`, begun anew where they are of another type.
    pub fn track(&self, backend: &Name, kind: &'static str) -> Arc<Counts> {
        let mut backends = self.lock();
        match backends.get(backend) {
            Some(counts) if counts.kind == kind => Arc::clone(counts),
            _ => {
                let counts = Arc::new(Counts { kind, by_code: Default::default() });
                backends.insert(backend.clone(), Arc::clone(&counts));
                counts
            }
        }
    }

    pub fn forget(&self, backend: &Name) {
        self.lock().remove(backend);
    }

    /// Nothing can panic while it is locked.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Arc<Counts>>> {
        self.backends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Totals {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let backends: Vec<_> =
            self.lock().iter().map(|(backend, counts)| (backend.clone(), Arc::clone(counts))).collect();
        let mut metrics = Vec::new();
        for (backend, counts) in backends {
            for code in ProbeCode::ALL {
                let count = counts.by_code[code as usize].load(Relaxed);
                if count > 0 {
                    metrics.push(metric(&backend, counts.kind, code, count));
                }
            }
        }
        let mut family = MetricFamily::default();
        family.set_name(NAME.to_owned());
        family.set_help(HELP.to_owned());
        family.set_field_type(MetricType::COUNTER);
        family.set_metric(metrics);
        vec![family]
    }
}

fn metric(backend: &Name, kind: &str, code: ProbeCode, count: u64) -> Metric {
    // In the order of their names, as the series of other metrics have it.
    let labels = [("backend", backend.as_str()), ("code", code.as_str()), ("result", code.result()), ("type", kind)];
    let label = |(name, value): (&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    let mut counter = Counter::default();
    // Exact up to 2^53.
    counter.set_value(count as f64);
    let mut metric = Metric::default();
    metric.set_label(labels.map(label).to_vec());
    metric.set_counter(counter);
    metric
}

#[cfg(test)]
mod tests {
    use prometheus::{Registry, TextEncoder};

    use super::*;

    fn shown(registry: &Registry) -> Vec<String> {
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        text.lines().filter(|line| line.starts_with(NAME)).map(str::to_owned).collect()
    }

    #[test]
    fn series_are_those_that_counted_of_backends_that_are_there() {
        let registry = Registry::new();
        let totals = Totals::new();
        registry.register(Box::new(totals.clone())).unwrap();
        let (web, api) = (Name::namespaced("shop", "web"), Name::namespaced("shop", "api"));
        let counts = totals.track(&web, "HTTP");
        totals.track(&api, "TCP").add(ProbeCode::L4Timeout);
        for code in [ProbeCode::L7Ok, ProbeCode::L7Status, ProbeCode::L7Ok] {
            counts.add(code);
        }
        let of_web = [
            r#"maglev_probe_total{backend="shop/web",code="L7OK",result="success",type="HTTP"} 2"#,
            r#"maglev_probe_total{backend="shop/web",code="L7STS",result="failure",type="HTTP"} 1"#,
        ];
        let of_api = r#"maglev_probe_total{backend="shop/api",code="L4TOUT",result="failure",type="TCP"} 1"#;
        assert_eq!(shown(&registry), [of_api, of_web[0], of_web[1]]);
        totals.forget(&api);
        assert_eq!(shown(&registry), of_web);
        totals.track(&web, "HTTP").add(ProbeCode::L7Ok);
        assert!(shown(&registry)[0].ends_with(" 3"), "the same type counts on");
        totals.track(&web, "TCP");
        assert_eq!(shown(&registry), [""; 0]);
    }
}

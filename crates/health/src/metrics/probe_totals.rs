//! `maglev_probe_total`: one counter per backend and code. Series are built for each scrape.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::{Mutex, MutexGuard};
use prometheus::{
    Opts,
    core::{Collector, Desc, Describer},
    proto::{Counter, LabelPair, Metric, MetricFamily, MetricType},
};

use maglev_model::{health::ProbeCode, name::Name};

const NAME: &str = "maglev_probe_total";
const HELP: &str = "Counted probes, by backend, type, result and HAProxy's check code.";

/// The counts of all backends. Clones share them.
#[derive(Clone, Debug)]
pub struct ProbeTotals {
    desc: Desc,
    /// Locked when a loop starts or ends and for a scrape, never for a probe.
    backends: Arc<Mutex<BTreeMap<Name, Arc<ProbeCounts>>>>,
}

/// The counts of one backend's probes.
#[derive(Debug)]
pub struct ProbeCounts {
    kind: &'static str,
    by_code: [AtomicU64; ProbeCode::ALL.len()],
}

impl ProbeCounts {
    pub(crate) fn add(&self, code: ProbeCode) {
        self.by_code[code as usize].fetch_add(1, Relaxed);
    }
}

impl ProbeTotals {
    pub fn new() -> Self {
        let labels = ["backend", "type", "result", "code"].map(str::to_owned).to_vec();
        let desc = Opts::new(NAME, HELP).variable_labels(labels).describe();
        Self { desc: desc.expect("name and labels are valid"), backends: Arc::default() }
    }

    /// The counts of `backend`, which start at 0 if the last ones were of another type.
    pub fn track(&self, backend: &Name, kind: &'static str) -> Arc<ProbeCounts> {
        let mut backends = self.lock();
        match backends.get(backend) {
            Some(counts) if counts.kind == kind => Arc::clone(counts),
            _ => {
                let counts = Arc::new(ProbeCounts { kind, by_code: Default::default() });
                backends.insert(backend.clone(), Arc::clone(&counts));
                counts
            }
        }
    }

    /// Removes the counts of `backend`. Returns true if they were the last ones of its namespace.
    pub fn remove(&self, backend: &Name) -> bool {
        let mut backends = self.lock();
        let removed = backends.remove(backend).is_some();
        let others = Name::namespaced(backend.namespace(), "")..;
        removed && backends.range(others).next().is_none_or(|(other, _)| other.namespace() != backend.namespace())
    }

    /// Nothing can panic while it is locked.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Arc<ProbeCounts>>> {
        self.backends.lock()
    }
}

impl Collector for ProbeTotals {
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
    // Ordered by name, like the labels of all other metrics.
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

    fn series(registry: &Registry) -> Vec<String> {
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        text.lines().filter(|line| line.starts_with(NAME)).map(str::to_owned).collect()
    }

    #[test]
    fn only_nonzero_counts_of_existing_backends_have_series() {
        let registry = Registry::new();
        let totals = ProbeTotals::new();
        registry.register(Box::new(totals.clone())).unwrap();
        let (web, api) = (Name::namespaced("shop", "web"), Name::namespaced("shop", "api"));
        let counts = totals.track(&web, "HTTP");
        totals.track(&api, "TCP").add(ProbeCode::L4Timeout);
        for code in [ProbeCode::L7Ok, ProbeCode::L7Status, ProbeCode::L7Ok] {
            counts.add(code);
        }
        let web_series = [
            r#"maglev_probe_total{backend="shop/web",code="L7OK",result="success",type="HTTP"} 2"#,
            r#"maglev_probe_total{backend="shop/web",code="L7STS",result="failure",type="HTTP"} 1"#,
        ];
        let api_series = r#"maglev_probe_total{backend="shop/api",code="L4TOUT",result="failure",type="TCP"} 1"#;
        assert_eq!(series(&registry), [api_series, web_series[0], web_series[1]]);
        assert!(!totals.remove(&api), "another backend of the namespace is left");
        assert_eq!(series(&registry), web_series);
        totals.track(&web, "HTTP").add(ProbeCode::L7Ok);
        assert!(series(&registry)[0].ends_with(" 3"), "the counts of the same type go on");
        totals.track(&web, "TCP");
        assert_eq!(series(&registry), [""; 0]);
        assert!(totals.remove(&web), "it was the last one of the namespace");
        assert!(!totals.remove(&web));
    }
}

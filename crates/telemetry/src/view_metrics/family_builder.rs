//! Builds a metric and its series for one scrape, without the locks and maps of the prometheus crate's vectors.

use prometheus::{
    core::Desc,
    proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType},
};

/// Name, type, labels and help of a metric.
pub(crate) struct MetricSpec {
    pub name: &'static str,
    pub kind: MetricType,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

impl MetricSpec {
    pub(crate) const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: MetricType::GAUGE, labels, help }
    }

    pub(crate) const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: MetricType::COUNTER, labels, help }
    }

    pub(crate) fn describe(&self) -> prometheus::Result<Desc> {
        let labels = self.labels.iter().map(|label| (*label).to_owned()).collect();
        Desc::new(self.name.to_owned(), self.help.to_owned(), labels, Default::default())
    }
}

/// A metric with the series added so far.
pub(crate) struct FamilyBuilder {
    spec: &'static MetricSpec,
    series: Vec<Metric>,
}

impl FamilyBuilder {
    pub(crate) fn new(spec: &'static MetricSpec) -> Self {
        Self { spec, series: Vec::new() }
    }

    /// Adds a series; `labels` are the values of the metric's labels.
    pub(crate) fn add<const N: usize>(&mut self, labels: [&str; N], value: f64) {
        debug_assert_eq!(N, self.spec.labels.len(), "{}", self.spec.name);
        let pair = |(name, value): (&&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value.to_owned());
            pair
        };
        let mut series = Metric::from_label(self.spec.labels.iter().zip(labels).map(pair).collect());
        match self.spec.kind {
            MetricType::COUNTER => {
                let mut counter = Counter::default();
                counter.set_value(value);
                series.set_counter(counter);
            }
            _ => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                series.set_gauge(gauge);
            }
        }
        self.series.push(series);
    }

    /// Adds one series for each state in `all`, with the value 1 for `current` and 0 for all other states.
    pub(crate) fn add_states<T: Copy + PartialEq, const N: usize>(
        &mut self,
        name: &str,
        all: [(T, &'static str); N],
        current: Option<T>,
    ) {
        for (state, text) in all {
            self.add([name, text], f64::from(u8::from(current == Some(state))));
        }
    }
}

impl From<FamilyBuilder> for MetricFamily {
    fn from(builder: FamilyBuilder) -> Self {
        let mut family = Self::default();
        family.set_name(builder.spec.name.to_owned());
        family.set_help(builder.spec.help.to_owned());
        family.set_field_type(builder.spec.kind);
        family.set_metric(builder.series);
        family
    }
}

//! A metric and its series, put together without the locks and maps of the library's own vectors: a scrape makes
//! them once and throws them away.

use prometheus::{
    core::Desc,
    proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType},
};

/// What a metric is called, and what it means.
pub(crate) struct Shape {
    pub name: &'static str,
    pub kind: MetricType,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

impl Shape {
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

/// A metric in the making.
pub(crate) struct Family {
    shape: &'static Shape,
    series: Vec<Metric>,
}

impl Family {
    pub(crate) fn of(shape: &'static Shape) -> Self {
        Self { shape, series: Vec::new() }
    }

    /// Adds a series; `labels` are the values of the shape's labels.
    pub(crate) fn add<const N: usize>(&mut self, labels: [&str; N], value: f64) {
        debug_assert_eq!(N, self.shape.labels.len(), "{}", self.shape.name);
        let pair = |(name, value): (&&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value.to_owned());
            pair
        };
        let mut series = Metric::from_label(self.shape.labels.iter().zip(labels).map(pair).collect());
        match self.shape.kind {
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

    /// One series for each of `all`: 1 for the one that is `now`, else 0.
    pub(crate) fn add_states<T: Copy + PartialEq, const N: usize>(
        &mut self,
        name: &str,
        all: [(T, &'static str); N],
        now: Option<T>,
    ) {
        for (state, text) in all {
            self.add([name, text], f64::from(u8::from(now == Some(state))));
        }
    }
}

impl From<Family> for MetricFamily {
    fn from(made: Family) -> Self {
        let mut family = Self::default();
        family.set_name(made.shape.name.to_owned());
        family.set_help(made.shape.help.to_owned());
        family.set_field_type(made.shape.kind);
        family.set_metric(made.series);
        family
    }
}

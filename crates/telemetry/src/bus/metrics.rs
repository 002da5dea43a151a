//! The bus's counters as Prometheus sees them: read when asked, so that publishing pays nothing.

use std::sync::{Arc, atomic::Ordering};

use prometheus::{IntCounter, Opts, core::Collector, core::Desc, proto::MetricFamily};

use super::{Lanes, Shared};
use maglev_model::event::Lane;

pub struct Metrics {
    shared: Arc<Shared>,
    dropped: Lanes<IntCounter>,
    lost: IntCounter,
}

impl Metrics {
    pub fn new(shared: Arc<Shared>) -> prometheus::Result<Self> {
        let counter = |lane: &str| {
            let opts = Opts::new("maglev_events_dropped_total", "Events that found their queue full.");
            IntCounter::with_opts(opts.const_label("lane", lane))
        };
        let lost = IntCounter::new("maglev_events_lost_total", "Events that slow watchers lost, over all watchers.")?;
        Ok(Self { shared, dropped: Lanes { state: counter("state")?, probe: counter("probe")? }, lost })
    }
}

fn collect(counter: &IntCounter, now: u64) -> Vec<MetricFamily> {
    counter.inc_by(now.saturating_sub(counter.get()));
    counter.collect()
}

impl Collector for Metrics {
    fn desc(&self) -> Vec<&Desc> {
        [&self.dropped.state, &self.dropped.probe, &self.lost].into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let dropped = [Lane::State, Lane::Probe].into_iter().flat_map(|lane| {
            let now = self.shared.dropped.of(lane).load(Ordering::Relaxed);
            collect(self.dropped.of(lane), now)
        });
        dropped.chain(collect(&self.lost, self.shared.lost.load(Ordering::Relaxed))).collect()
    }
}

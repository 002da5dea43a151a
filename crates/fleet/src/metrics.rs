//! Prometheus metrics of the links, collected from the current state, so the series of a removed node disappear.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use prometheus::{
    IntCounterVec, IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::{
    mirror::Mirror,
    store::{LinkCounters, NodeCell, Store},
};

const STATES: [&str; 3] = ["connecting", "connected", "unreachable"];

pub struct LinkMetrics<M> {
    store: Arc<Store<M>>,
    /// Empty, for the descriptions.
    shape: Families,
}

impl<M: Mirror> LinkMetrics<M> {
    pub fn new(store: Arc<Store<M>>) -> prometheus::Result<Self> {
        Ok(Self { store, shape: Families::new()? })
    }
}

impl<M: Mirror> Collector for LinkMetrics<M> {
    fn desc(&self) -> Vec<&Desc> {
        self.shape.all().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Ok(families) = Families::new() else { return Vec::new() };
        let cells: Vec<_> =
            self.store.cells().iter().map(|(node, cell)| (Arc::clone(node), Arc::clone(cell))).collect();
        for (node, cell) in &cells {
            families.fill(node, cell);
        }
        families.all().flat_map(Collector::collect).collect()
    }
}

/// Selects one of a link's counters.
type Counter = fn(&LinkCounters) -> &AtomicU64;

struct Families {
    state: IntGaugeVec,
    counters: [(IntCounterVec, Counter); 5],
}

impl Families {
    fn new() -> prometheus::Result<Self> {
        let counter = |name, help| IntCounterVec::new(Opts::new(name, help), &["node"]);
        let state = Opts::new("maglev_agent_link_state", "1 for the current state of the link to a node's agent.");
        Ok(Self {
            state: IntGaugeVec::new(state, &["node", "state"])?,
            counters: [
                (counter("maglev_agent_link_connects_total", "Sessions opened with an agent.")?, |counters| {
                    &counters.connects
                }),
                (counter("maglev_agent_link_failures_total", "Sessions that failed to start or ended.")?, |counters| {
                    &counters.failures
                }),
                (counter("maglev_agent_link_lines_total", "Events followed.")?, |counters| &counters.lines),
                (
                    counter("maglev_agent_link_resyncs_total", "Complete states fetched after missed events.")?,
                    |counters| &counters.resyncs,
                ),
                (
                    counter(
                        "maglev_agent_link_differences_total",
                        "Comparisons in which the mirror differed from the agent's state. Any value but 0 indicates a bug.",
                    )?,
                    |counters| &counters.differences,
                ),
            ],
        })
    }

    fn fill<M: Mirror>(&self, node: &str, cell: &NodeCell<M>) {
        let now = cell.state().link.as_str();
        for state in STATES {
            self.state.with_label_values(&[node, state]).set((state == now).into());
        }
        for (counter, select) in &self.counters {
            counter.with_label_values(&[node]).inc_by(select(&cell.link_counters).load(Ordering::Relaxed));
        }
    }

    fn all(&self) -> impl Iterator<Item = &dyn Collector> {
        let counters = self.counters.iter().map(|(counter, _)| counter as &dyn Collector);
        std::iter::once(&self.state as &dyn Collector).chain(counters)
    }
}

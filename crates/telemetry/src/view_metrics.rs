//! Metrics of the agent's state: a series per object, built for each scrape from the current objects, so that removed
//! objects have no series.
//!
//! A scrape works on copies of the published state and blocks no other task.

mod family_builder;
mod node;
mod objects;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use prometheus::{
    core::{Collector, Desc},
    proto::MetricFamily,
};
use tokio::sync::watch;

use super::bus::{Transitions, ViewSnapshot};

/// The metrics of all objects in a [`View`](maglev_model::view::View).
pub struct ViewMetrics {
    snapshots_rx: watch::Receiver<ViewSnapshot>,
    transitions_rx: watch::Receiver<Transitions>,
    clock: fn() -> Timestamp,
    descriptions: Vec<Desc>,
}

impl ViewMetrics {
    pub fn new(
        snapshots_rx: watch::Receiver<ViewSnapshot>,
        transitions_rx: watch::Receiver<Transitions>,
        clock: fn() -> Timestamp,
    ) -> prometheus::Result<Self> {
        let descriptions = objects::SPECS
            .iter()
            .chain(node::SPECS)
            .map(family_builder::MetricSpec::describe)
            .collect::<Result<_, _>>()?;
        Ok(Self { snapshots_rx, transitions_rx, clock, descriptions })
    }
}

impl Collector for ViewMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let view = self.snapshots_rx.borrow().view.clone();
        let transitions = self.transitions_rx.borrow().clone();
        let mut families = objects::backends(&view, &transitions);
        families.extend(objects::frontends(&view));
        families.push(objects::paths(&view));
        families.extend(node::families(&view, (self.clock)()));
        families
    }
}

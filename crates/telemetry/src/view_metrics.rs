//! What the state of the agent says as metrics: a series per object, made when somebody asks and from the objects
//! that there are, so that series of removed ones are gone.
//!
//! A scrape takes copies of what the bus publishes, and computes on them: nobody else waits for it.

mod family;
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

use super::bus::{Snapshot, Transitions};

/// The metrics of everything in a [`View`](maglev_model::view::View).
pub struct ViewMetrics {
    snapshots_rx: watch::Receiver<Snapshot>,
    transitions_rx: watch::Receiver<Transitions>,
    clock: fn() -> Timestamp,
    descriptions: Vec<Desc>,
}

impl ViewMetrics {
    /// Metrics of what is published.
    pub fn new(
        snapshots_rx: watch::Receiver<Snapshot>,
        transitions_rx: watch::Receiver<Transitions>,
        clock: fn() -> Timestamp,
    ) -> prometheus::Result<Self> {
        let descriptions =
            objects::SHAPES.iter().chain(node::SHAPES).map(family::Shape::describe).collect::<Result<_, _>>()?;
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
        families.extend(node::families(&view, (self.clock)()));
        families
    }
}

//! How everybody else looks at the fleet.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    interest::ProbeGuard,
    mirror::Mirror,
    store::{NodeState, Store},
    update::Updates,
};
use maglev_model::{Name, view::View};

/// The fleet's state, for any number of readers.
#[derive(Debug)]
pub struct FleetHandle<M = View>(pub(crate) Arc<Store<M>>);

impl<M> Clone for FleetHandle<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Mirror> FleetHandle<M> {
    /// The names of all nodes, in order.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.0.cells().keys().cloned().collect()
    }

    /// All nodes, in the order of their names.
    pub fn nodes(&self) -> Vec<NodeState<M>> {
        let cells: Vec<_> = self.0.cells().values().cloned().collect();
        cells.iter().map(|cell| cell.state().clone()).collect()
    }

    pub fn node(&self, node: &str) -> Option<NodeState<M>> {
        let cell = self.0.cell(node)?;
        let state = cell.state().clone();
        Some(state)
    }

    /// What happens from now on. To miss nothing, subscribe first and read the nodes then.
    pub fn subscribe(&self) -> Updates {
        Updates(self.0.subscribe())
    }

    /// Whether it is known which nodes there are: true once the pods were listed for the first time.
    pub fn discovered(&self) -> watch::Receiver<bool> {
        self.0.discovered.subscribe()
    }

    /// Has the probes of these Backends of `node` followed while the guard lives; `None` where there is no such node.
    /// They come as [`FleetUpdate::Probes`](super::FleetUpdate::Probes), together with those that others asked for,
    /// at most [`MAX_WATCHED`](super::MAX_WATCHED) per node.
    pub fn watch_probes(&self, node: &str, names: Vec<Name>) -> Option<ProbeGuard> {
        Some(self.0.cell(node)?.interest.watch(names))
    }
}

//! Read access to the fleet's state.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    mirror::Mirror,
    probe_subscriptions::ProbeSubscription,
    store::{NodeState, Store},
    update::Updates,
};
use maglev_model::{Name, view::View};

/// Reader of the fleet's state. Any number of clones may exist.
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

    /// Subscribes to updates from now on. To miss nothing, subscribe first and read the nodes after that.
    pub fn subscribe(&self) -> Updates {
        Updates(self.0.subscribe())
    }

    /// True once the pods were listed for the first time, so that all nodes are known.
    pub fn discovered(&self) -> watch::Receiver<bool> {
        self.0.discovered.subscribe()
    }

    /// Follows the probes of these Backends of `node` until the subscription is dropped; `None` without such a node.
    /// They arrive as [`FleetUpdate::Probes`](super::FleetUpdate::Probes), together with the probes of other
    /// subscriptions, for at most [`MAX_PROBED_BACKENDS`](super::MAX_PROBED_BACKENDS) Backends per node.
    pub fn watch_probes(&self, node: &str, names: Vec<Name>) -> Option<ProbeSubscription> {
        Some(self.0.cell(node)?.subscriptions.watch(names))
    }
}

//! Counts of distinct Backends over all reporting nodes.

use std::collections::{BTreeSet, HashMap};

use crate::inputs::Inputs;
use maglev_model::{Name, health::BackendState};

/// The reports of the nodes about each Backend.
#[derive(Clone, Debug, Default)]
pub struct BackendCounts(HashMap<Name, Reports>);

/// Numbers of reporting nodes.
#[derive(Clone, Copy, Debug, Default)]
struct Reports {
    /// Nodes that know the Backend.
    nodes: usize,
    up: usize,
    down: usize,
}

impl BackendCounts {
    /// The number of distinct Backends.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The number of Backends that are up on every reporting node.
    pub fn up(&self) -> usize {
        self.0.values().filter(|reports| reports.up == reports.nodes).count()
    }

    /// The number of Backends that are down on a reporting node.
    pub fn down(&self) -> usize {
        self.0.values().filter(|reports| reports.down > 0).count()
    }

    /// Updates the counts after a change of a node. `differing` are the Backends that may differ.
    pub fn change(&mut self, old: &Inputs, new: &Inputs, differing: &BTreeSet<Name>) {
        match (old.reporting(), new.reporting()) {
            (false, false) => {}
            (true, false) => self.remove(old),
            (false, true) => new.view().backends.keys().for_each(|name| self.count(new, name)),
            (true, true) => {
                for name in differing {
                    self.forget(old, name);
                    self.count(new, name);
                }
            }
        }
    }

    /// Removes the counts of a node.
    pub fn remove(&mut self, old: &Inputs) {
        if old.reporting() {
            old.view().backends.keys().for_each(|name| self.forget(old, name));
        }
    }

    fn count(&mut self, inputs: &Inputs, name: &Name) {
        let Some(state) = state(inputs, name) else { return };
        let reports = self.0.entry(name.clone()).or_default();
        reports.nodes += 1;
        reports.up += usize::from(state == BackendState::Up);
        reports.down += usize::from(state == BackendState::Down);
    }

    fn forget(&mut self, inputs: &Inputs, name: &Name) {
        let (Some(state), Some(reports)) = (state(inputs, name), self.0.get_mut(name)) else { return };
        reports.nodes -= 1;
        reports.up -= usize::from(state == BackendState::Up);
        reports.down -= usize::from(state == BackendState::Down);
        if reports.nodes == 0 {
            self.0.remove(name);
        }
    }
}

/// The state of a Backend on one node; `None` if the node does not know the Backend.
fn state(inputs: &Inputs, name: &Name) -> Option<BackendState> {
    inputs.view().backends.get(name).map(|backend| inputs.view().backend_state(backend))
}

//! The number of distinct Backends over all reporting nodes.

use std::collections::{BTreeSet, HashMap};

use crate::inputs::Inputs;
use maglev_model::Name;

/// The number of reporting nodes that know each Backend.
#[derive(Clone, Debug, Default)]
pub struct BackendCounts(HashMap<Name, usize>);

impl BackendCounts {
    /// The number of distinct Backends.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Updates the counts after a change of a node. `differing` are the Backends that were added or removed.
    pub fn change(&mut self, old: &Inputs, new: &Inputs, differing: &BTreeSet<Name>) {
        match (old.reporting(), new.reporting()) {
            (false, false) => {}
            (true, false) => self.remove(old),
            (false, true) => new.view().backends.keys().for_each(|name| self.count(name)),
            (true, true) => {
                for name in differing {
                    if new.view().backends.contains_key(name) { self.count(name) } else { self.forget(name) }
                }
            }
        }
    }

    /// Removes the counts of a node.
    pub fn remove(&mut self, old: &Inputs) {
        if old.reporting() {
            old.view().backends.keys().for_each(|name| self.forget(name));
        }
    }

    fn count(&mut self, name: &Name) {
        *self.0.entry(name.clone()).or_default() += 1;
    }

    fn forget(&mut self, name: &Name) {
        if let Some(count) = self.0.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(name);
            }
        }
    }
}

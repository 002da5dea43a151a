//! How many backends there are, each counted once however many nodes know it.

use std::collections::{BTreeSet, HashMap};

use crate::inputs::Inputs;
use maglev_model::Name;

/// By backend, how many reporting nodes know it.
#[derive(Clone, Debug, Default)]
pub struct Census(HashMap<Name, usize>);

impl Census {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// A node changed; `differing` are backends that came or went.
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

    /// A node is gone.
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

//! Which changes of state a node's difference tells of.

use std::sync::Arc;

use super::{Board, transitions::Seen};
use crate::inputs::{Inputs, Touched};

impl Board {
    /// Takes the changes that `node` saw since `old`; without one, those that it remembers.
    pub fn see(&mut self, node: &Arc<str>, old: Option<&Inputs>, new: &Inputs, touched: &Touched) {
        for name in &touched.health {
            let health = |inputs: &Inputs| inputs.view().health.backends.get(name).map(|of| Arc::clone(&of.history));
            let (before, now) = (old.and_then(health), health(new));
            let latest = before.and_then(|before| before.last().map(|last| last.at));
            for change in now.iter().flat_map(|now| now.iter()).filter(|of| latest.is_none_or(|last| of.at > last)) {
                self.take(node, Seen::backend(name, change));
            }
        }
        for name in &touched.states {
            let before = old.map(|old| old.view().frontend_state(name));
            let now = new.view().states.get(name);
            self.take(node, now.and_then(|now| Seen::frontend(name, before, now)));
        }
    }

    fn take(&mut self, node: &Arc<str>, seen: Option<Seen>) {
        if let Some(seen) = seen {
            self.glance.transitions.add(node, &seen);
            self.dirty.transitions = true;
        }
    }
}

//! Counts the state transitions of each Backend from the events; the history in a Backend's health is too short for that.

use std::{collections::BTreeMap, sync::Arc};

use imbl::OrdMap;

use maglev_model::{Name, change::Change, event::Event, health::BackendState};

/// The transitions of each Backend since the agent's start. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transitions(OrdMap<Name, Arc<TransitionCounts>>);

/// The number of transitions by old and new state.
type TransitionCounts = BTreeMap<(BackendState, BackendState), u64>;

impl Transitions {
    /// Counts a transition, or removes the counts of a removed Backend.
    pub(crate) fn count(&mut self, event: Option<&Event>, change: Option<&Change>) {
        match (event, change) {
            (Some(Event::BackendTransition { name, from, health, .. }), _) => {
                let counts = self.0.entry(name.clone()).or_default();
                *Arc::make_mut(counts).entry((*from, health.state)).or_default() += 1;
            }
            // No further transition follows until a Backend of that name is added again.
            (_, Some(Change::Health(name, None))) => {
                self.0.remove(name);
            }
            _ => {}
        }
    }

    /// The transitions of one Backend: old state, new state and count.
    pub(crate) fn for_backend(&self, name: &Name) -> impl Iterator<Item = (BackendState, BackendState, u64)> {
        self.0.get(name).into_iter().flat_map(|counts| counts.iter().map(|(&(from, to), &count)| (from, to, count)))
    }
}

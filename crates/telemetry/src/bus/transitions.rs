//! How often each Backend came from one state into another: counted as the events pass, for the history that
//! a state has with it is short.

use std::{collections::BTreeMap, sync::Arc};

use imbl::OrdMap;

use maglev_model::{Name, change::Change, event::Event, health::BackendState};

/// Transitions since the agent's start, of each Backend that had one. A clone is cheap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transitions(OrdMap<Name, Arc<Counts>>);

/// By state before and state after.
type Counts = BTreeMap<(BackendState, BackendState), u64>;

impl Transitions {
    /// Counts what happened, and forgets a Backend that is no more.
    pub(crate) fn count(&mut self, event: Option<&Event>, change: Option<&Change>) {
        match (event, change) {
            (Some(Event::BackendTransition { name, from, to, .. }), _) => {
                let of = self.0.entry(name.clone()).or_default();
                *Arc::make_mut(of).entry((*from, *to)).or_default() += 1;
            }
            // The health room tells nothing more of it before a Backend of that name is there again.
            (_, Some(Change::Health(name, None))) => {
                self.0.remove(name);
            }
            _ => {}
        }
    }

    /// Those of one Backend: from, to, and how often.
    pub(crate) fn of(&self, name: &Name) -> impl Iterator<Item = (BackendState, BackendState, u64)> {
        self.0.get(name).into_iter().flat_map(|of| of.iter().map(|(&(from, to), &count)| (from, to, count)))
    }
}

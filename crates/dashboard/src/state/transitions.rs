//! The latest state transitions, folded over nodes: equal transitions of an object within some seconds are one.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::DashboardState;
use crate::{
    document::{Time, TransitionDetail},
    inputs::{DirtyParts, Inputs},
};
use maglev_model::{
    Name,
    config::Kind,
    event::FrontendState,
    health::{BackendState, ProbeCode, Transition},
    view::StateSince,
};

/// Transitions that are shown.
const SHOWN: usize = 20;
/// Transitions that are kept, to fold those of other nodes into.
const RETAINED: usize = 200;
/// Transitions this close in time are folded.
const TOGETHER: SignedDuration = SignedDuration::from_secs(10);

/// A transition on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeTransition {
    pub(crate) kind: Kind,
    pub(crate) name: Name,
    pub(crate) from: Option<&'static str>,
    pub(crate) to: &'static str,
    pub(crate) code: Option<&'static str>,
    pub(crate) at: Timestamp,
}

impl NodeTransition {
    /// A transition of a Backend; `None` for the first success of a probe.
    pub fn backend(name: &Name, transition: &Transition) -> Option<Self> {
        let Transition { from, to, at, code } = *transition;
        let is_shown = from != BackendState::Unknown || to == BackendState::Down;
        let (from, to, code) = (Some(from.as_str()), to.as_str(), code.map(ProbeCode::as_str));
        is_shown.then(|| Self { kind: Kind::Backend, name: name.clone(), from, to, code, at })
    }

    /// A transition of a Frontend to or from Down. The state before is not always known.
    pub fn frontend(name: &Name, before: Option<FrontendState>, now: &StateSince) -> Option<Self> {
        let from = before.filter(|before| *before != now.state);
        let is_shown = match (from, now.state) {
            (_, FrontendState::Down) => true,
            (Some(FrontendState::Down), _) => true,
            (_, FrontendState::Up | FrontendState::Unknown) => false,
        };
        let code = now.code.map(ProbeCode::as_str);
        let (from, to) = (from.map(FrontendState::as_str), now.state.as_str());
        is_shown.then(|| Self { kind: Kind::Frontend, name: name.clone(), from, to, code, at: now.since })
    }
}

/// Transitions by the time on their first node, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Transitions(BTreeMap<(Timestamp, String), Arc<TransitionDetail>>);

impl Transitions {
    /// Adds a transition of `node`. Idempotent.
    pub fn add(&mut self, node: &Arc<str>, transition: &NodeTransition) {
        let (earliest, latest) = (transition.at.saturating_sub(TOGETHER), transition.at.saturating_add(TOGETHER));
        let (Ok(earliest), Ok(latest)) = (earliest, latest) else { return };
        let near = self.0.range((earliest, String::new())..(latest, String::new()));
        let same = near.filter(|(_, detail)| detail.is_same(transition)).map(|(key, _)| key.clone()).next();
        let key = same.unwrap_or_else(|| (transition.at, transition.id()));
        let entry = self.0.entry(key).or_insert_with(|| Arc::new(transition.detail()));
        if let Err(position) = entry.nodes.binary_search(node) {
            Arc::make_mut(entry).nodes.insert(position, Arc::clone(node));
        }
        while self.0.len() > RETAINED {
            self.0.pop_first();
        }
    }

    /// The newest transitions by id.
    pub fn shown(&self) -> BTreeMap<String, Arc<TransitionDetail>> {
        self.0.iter().rev().take(SHOWN).map(|((_, id), detail)| (id.clone(), Arc::clone(detail))).collect()
    }
}

impl TransitionDetail {
    /// True if both are the same transition, apart from node and time.
    fn is_same(&self, transition: &NodeTransition) -> bool {
        let from_fits = self.from.is_none() || transition.from.is_none() || self.from == transition.from;
        (self.kind, &*self.name, self.to) == (transition.kind.as_str(), transition.name.as_str(), transition.to)
            && from_fits
    }
}

impl NodeTransition {
    fn id(&self) -> String {
        format!("{} {} {} {:.3}", self.kind.as_str(), self.name, self.to, self.at)
    }

    fn detail(&self) -> TransitionDetail {
        TransitionDetail {
            kind: self.kind.as_str(),
            name: self.name.to_string(),
            from: self.from,
            to: self.to,
            code: self.code,
            at: Time(self.at),
            nodes: Vec::new(),
        }
    }
}

impl DashboardState {
    /// Adds the transitions of `node` since `old`; without `old`, all that its state contains.
    pub fn add_transitions(&mut self, node: &Arc<str>, old: Option<&Inputs>, new: &Inputs, dirty: &DirtyParts) {
        for name in &dirty.health {
            let history =
                |inputs: &Inputs| inputs.view().health.backends.get(name).map(|health| Arc::clone(&health.history));
            let (before, now) = (old.and_then(history), history(new));
            let latest = before.and_then(|before| before.last().map(|last| last.at));
            let is_new = |transition: &&Transition| latest.is_none_or(|latest| transition.at > latest);
            for transition in now.iter().flat_map(|now| now.iter()).filter(is_new) {
                self.add_transition(node, NodeTransition::backend(name, transition));
            }
        }
        for name in &dirty.states {
            let before = old.map(|old| old.view().frontend_state(name));
            let now = new.view().states.get(name);
            self.add_transition(node, now.and_then(|now| NodeTransition::frontend(name, before, now)));
        }
    }

    fn add_transition(&mut self, node: &Arc<str>, transition: Option<NodeTransition>) {
        if let Some(transition) = transition {
            self.snapshot.transitions.add(node, &transition);
            self.dirty.transitions = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transition(name: &str, to: &'static str, second: i64) -> NodeTransition {
        let (kind, name) = (Kind::Backend, Name::namespaced("shop", name));
        let at = Timestamp::from_second(second).expect("the time is in range");
        NodeTransition { kind, name, from: Some("up"), to, code: Some("L4TOUT"), at }
    }

    fn node_counts(transitions: &Transitions) -> Vec<(String, usize)> {
        transitions.shown().into_iter().map(|(id, detail)| (id, detail.nodes.len())).collect()
    }

    #[test]
    fn transitions_of_several_nodes_at_about_the_same_time_are_folded() {
        let mut transitions = Transitions::default();
        let nodes: Vec<Arc<str>> = (0..3).map(|n| format!("node-{n}").into()).collect();
        for (node, second) in nodes.iter().zip([1000, 1004, 996]) {
            transitions.add(node, &transition("a", "down", second));
            transitions.add(node, &transition("a", "down", second));
        }
        transitions.add(&nodes[0], &transition("b", "down", 1000));
        transitions.add(&nodes[0], &transition("a", "down", 1060));
        let counts: Vec<_> = node_counts(&transitions).into_iter().map(|(_, nodes)| nodes).collect();
        assert_eq!(counts, [3, 1, 1]);
    }

    #[test]
    fn only_the_newest_transitions_are_shown() {
        let (mut transitions, node) = (Transitions::default(), "node-a".into());
        for second in 0..300 {
            transitions.add(&node, &transition("a", "down", second * 60));
        }
        let shown = node_counts(&transitions);
        assert_eq!(shown.len(), SHOWN);
        assert!(shown.iter().any(|(id, _)| id.contains("1970-01-01T04:59:00")), "{shown:?}");
    }
}

//! The last changes of state, folded over nodes: the same change of one object within some seconds is one.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use crate::document::{Time, TransitionDetail};
use maglev_model::{
    Name,
    config::Kind,
    event::FrontendState,
    health::{BackendState, ProbeCode, Transition},
    view::StateSince,
};

/// Changes that are shown.
const SHOWN: usize = 20;
/// Changes that are kept, so that one of another node finds its like.
const KEPT: usize = 200;
/// Nodes whose changes are so close saw the same thing.
const TOGETHER: SignedDuration = SignedDuration::from_secs(10);

/// A change as one node saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub(crate) kind: Kind,
    pub(crate) name: Name,
    pub(crate) from: Option<&'static str>,
    pub(crate) to: &'static str,
    pub(crate) code: Option<&'static str>,
    pub(crate) at: Timestamp,
}

impl Seen {
    /// A backend's change; the first probe's success is none.
    pub fn backend(name: &Name, of: &Transition) -> Option<Self> {
        let news = of.from != BackendState::Unknown || of.to == BackendState::Down;
        let (from, to, code) = (Some(of.from.as_str()), of.to.as_str(), of.code.map(ProbeCode::as_str));
        news.then(|| Self { kind: Kind::Backend, name: name.clone(), from, to, code, at: of.at })
    }

    /// A frontend's change. What it was before is not always known.
    pub fn frontend(name: &Name, before: Option<FrontendState>, of: &StateSince) -> Option<Self> {
        let from = before.filter(|before| *before != of.state);
        let news = match (from, of.state) {
            (_, FrontendState::Down) => true,
            (Some(FrontendState::Down), _) => true,
            (_, FrontendState::Up | FrontendState::Unknown) => false,
        };
        let code = of.code.map(ProbeCode::as_str);
        let (from, to) = (from.map(FrontendState::as_str), of.state.as_str());
        news.then(|| Self { kind: Kind::Frontend, name: name.clone(), from, to, code, at: of.since })
    }
}

/// The changes by the time of their first node, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Transitions(BTreeMap<(Timestamp, String), Arc<TransitionDetail>>);

impl Transitions {
    /// Takes a change that `node` saw. Taking it twice does no harm.
    pub fn add(&mut self, node: &Arc<str>, seen: &Seen) {
        let (earliest, latest) = (seen.at.saturating_sub(TOGETHER), seen.at.saturating_add(TOGETHER));
        let (Ok(earliest), Ok(latest)) = (earliest, latest) else { return };
        let near = self.0.range((earliest, String::new())..(latest, String::new()));
        let like = near.filter(|(_, of)| of.is_like(seen)).map(|(key, _)| key.clone()).next();
        let key = like.unwrap_or_else(|| (seen.at, seen.id()));
        let entry = self.0.entry(key).or_insert_with(|| Arc::new(seen.detail()));
        if let Err(place) = entry.nodes.binary_search(node) {
            Arc::make_mut(entry).nodes.insert(place, Arc::clone(node));
        }
        while self.0.len() > KEPT {
            self.0.pop_first();
        }
    }

    /// The newest ones, by their ids.
    pub fn shown(&self) -> BTreeMap<String, Arc<TransitionDetail>> {
        self.0.iter().rev().take(SHOWN).map(|((_, id), of)| (id.clone(), Arc::clone(of))).collect()
    }
}

impl TransitionDetail {
    fn is_like(&self, seen: &Seen) -> bool {
        let from_fits = self.from.is_none() || seen.from.is_none() || self.from == seen.from;
        (self.kind, &*self.name, self.to) == (seen.kind.as_str(), seen.name.as_str(), seen.to) && from_fits
    }
}

impl Seen {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: &str, to: &'static str, second: i64) -> Seen {
        let (kind, name) = (Kind::Backend, Name::namespaced("shop", name));
        let at = Timestamp::from_second(second).expect("a time");
        Seen { kind, name, from: Some("up"), to, code: Some("L4TOUT"), at }
    }

    fn told(transitions: &Transitions) -> Vec<(String, usize)> {
        transitions.shown().into_iter().map(|(id, of)| (id, of.nodes.len())).collect()
    }

    #[test]
    fn what_several_nodes_see_at_about_the_same_time_is_one_change() {
        let mut transitions = Transitions::default();
        let nodes: Vec<Arc<str>> = (0..3).map(|n| format!("node-{n}").into()).collect();
        for (node, second) in nodes.iter().zip([1000, 1004, 996]) {
            transitions.add(node, &seen("a", "down", second));
            transitions.add(node, &seen("a", "down", second));
        }
        transitions.add(&nodes[0], &seen("b", "down", 1000));
        transitions.add(&nodes[0], &seen("a", "down", 1060));
        let counts: Vec<_> = told(&transitions).into_iter().map(|(_, nodes)| nodes).collect();
        assert_eq!(counts, [3, 1, 1]);
    }

    #[test]
    fn only_the_newest_are_shown() {
        let (mut transitions, node) = (Transitions::default(), "node-a".into());
        for second in 0..300 {
            transitions.add(&node, &seen("a", "down", second * 60));
        }
        let shown = told(&transitions);
        assert_eq!(shown.len(), SHOWN);
        assert!(shown.iter().any(|(id, _)| id.contains("1970-01-01T04:59:00")), "{shown:?}");
    }
}

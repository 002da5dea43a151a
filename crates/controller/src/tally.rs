//! What the nodes say of one Backend, counted.

use std::collections::BTreeMap;

use super::digest::Digest;
use maglev_model::{
    config::Backend,
    health::{BackendState, ProbeCode},
};

/// A node that is to have what the Frontends say.
#[derive(Clone, Copy)]
pub struct NodeView<'a> {
    pub(crate) name: &'a str,
    /// What its agent said last; `None` where this leader has not heard from it.
    pub(crate) digest: Option<&'a Digest>,
    /// An earlier leader knew it: while this one has not heard from it, the status says what that one heard.
    pub(crate) inherited: bool,
}

impl NodeView<'_> {
    /// Whether what the status says may still come from this node alone.
    pub fn is_unheard(&self) -> bool {
        self.digest.is_none() && self.inherited
    }
}

/// How many nodes say what of one Backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Nodes that were heard.
    pub(crate) heard: usize,
    /// Nodes that an earlier leader heard and this one has not.
    pub(crate) unheard: usize,
    states: BTreeMap<BackendState, usize>,
    /// Why, where it is down.
    codes: BTreeMap<ProbeCode, usize>,
}

impl Tally {
    /// Counts what `nodes` say of `backend`.
    pub fn of(backend: &Backend, nodes: &[NodeView<'_>]) -> Self {
        let mut tally = Self::default();
        for node in nodes {
            let Some(digest) = node.digest else {
                tally.unheard += usize::from(node.is_unheard());
                continue;
            };
            let (state, code) = digest.backend(backend);
            tally.heard += 1;
            *tally.states.entry(state).or_default() += 1;
            if let Some(code) = code.filter(|_| state == BackendState::Down) {
                *tally.codes.entry(code).or_default() += 1;
            }
        }
        tally
    }

    /// How many nodes say that it is in `state`.
    pub fn count(&self, state: BackendState) -> usize {
        self.states.get(&state).copied().unwrap_or(0)
    }

    /// Whether every node that was heard has it up.
    pub fn is_up(&self) -> bool {
        self.heard > 0 && self.count(BackendState::Up) == self.heard
    }

    /// The most frequent reason for being down.
    pub fn code(&self) -> Option<ProbeCode> {
        self.codes.iter().max_by_key(|(code, count)| (**count, std::cmp::Reverse(**code))).map(|(code, _)| *code)
    }

    /// The states that nodes are in, those apart that do not know.
    pub fn known(&self) -> impl Iterator<Item = BackendState> {
        self.states.keys().copied().filter(|state| *state != BackendState::Unknown)
    }
}

//! The number of nodes that report each state of one Backend.

use std::collections::BTreeMap;

use super::digest::Digest;
use maglev_model::{
    config::Backend,
    health::{BackendState, ProbeCode},
};

/// A node that is to serve the Frontends, and its agent's last reports.
#[derive(Clone, Copy)]
pub struct NodeView<'a> {
    pub(crate) name: &'a str,
    /// `None` until this leader has received the agent's state.
    pub(crate) digest: Option<&'a Digest>,
    /// True if an earlier leader knew the node. The stored status then contains its reports.
    pub(crate) inherited: bool,
}

impl NodeView<'_> {
    /// True while the node's last reports are known only from the stored status.
    pub fn awaits_first_report(&self) -> bool {
        self.digest.is_none() && self.inherited
    }
}

/// Counts of nodes for one Backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeCounts {
    /// Nodes whose reports this leader has.
    pub(crate) reporting: usize,
    /// Nodes whose reports only an earlier leader had.
    pub(crate) inherited: usize,
    by_state: BTreeMap<BackendState, usize>,
    /// Codes of the failed probes, from nodes on which the Backend is down.
    codes: BTreeMap<ProbeCode, usize>,
}

impl NodeCounts {
    pub fn new(backend: &Backend, nodes: &[NodeView<'_>]) -> Self {
        let mut counts = Self::default();
        for node in nodes {
            let Some(digest) = node.digest else {
                counts.inherited += usize::from(node.awaits_first_report());
                continue;
            };
            let (state, code) = digest.backend(backend);
            counts.reporting += 1;
            *counts.by_state.entry(state).or_default() += 1;
            if let Some(code) = code.filter(|_| state == BackendState::Down) {
                *counts.codes.entry(code).or_default() += 1;
            }
        }
        counts
    }

    /// Nodes on which the Backend is in `state`.
    pub fn in_state(&self, state: BackendState) -> usize {
        self.by_state.get(&state).copied().unwrap_or(0)
    }

    /// True if the Backend is up on every node that reports.
    pub fn is_up(&self) -> bool {
        self.reporting > 0 && self.in_state(BackendState::Up) == self.reporting
    }

    /// The most frequent code of a failed probe.
    pub fn code(&self) -> Option<ProbeCode> {
        self.codes.iter().max_by_key(|(code, count)| (**count, std::cmp::Reverse(**code))).map(|(code, _)| *code)
    }

    /// The distinct states that nodes report, without Unknown.
    pub fn known_states(&self) -> impl Iterator<Item = BackendState> {
        self.by_state.keys().copied().filter(|state| *state != BackendState::Unknown)
    }
}

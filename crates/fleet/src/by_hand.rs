//! A change by hand carried out and followed: whom it would leave unserved, the write, and the wait until every node has
//! it in effect.
//!
//! The command line and the dashboard's administration both call it. Writing is `k8s::operator_action`'s business; what
//! a change does to a node, `model::by_hand` decides.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::Client;
use tokio::time::{Instant, timeout_at};

use super::{
    handle::FleetHandle,
    store::{Link, NodeState},
};
use maglev_kube::{ActionError, OperatorAction, Outcome, operator_action::perform};
use maglev_model::{Name, by_hand::HandChange};

/// What became of a change.
#[derive(Clone, Debug)]
pub struct Done {
    /// What was written.
    pub outcome: Outcome,
    /// Nodes, those that are silent included.
    pub nodes: usize,
    /// What keeps some of them from having it in effect, in words.
    pub pending: BTreeMap<Arc<str>, String>,
    /// From the API server's answer until every node had it, or until the limit.
    pub took: Duration,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum HandError {
    /// No agent's state is known.
    #[error("no agent answers, so nobody knows whom this would leave without traffic: --force does it all the same")]
    NobodyKnows,
    /// It was not written.
    #[error(transparent)]
    Action(#[from] ActionError),
}

impl HandError {
    /// The fixed word for it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NobodyKnows => "NoAgentAnswers",
            Self::Action(err) => err.reason(),
        }
    }

    /// Whether the same may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NobodyKnows => true,
            Self::Action(err) => err.is_transient(),
        }
    }
}

/// Makes the change and waits until every node has it, or for `limit`.
///
/// # Errors
/// If nothing was written.
pub async fn carry_out(
    handle: &FleetHandle,
    client: &Client,
    action: &OperatorAction,
    limit: Duration,
) -> Result<Done, HandError> {
    let known: Vec<_> = handle.nodes().into_iter().filter(|node| node.as_of.is_some()).collect();
    if known.is_empty() && !action.force {
        return Err(HandError::NobodyKnows);
    }
    let outcome = perform(client, action, &|change| left_unserved(&known, change)).await?;
    let (nodes, pending) = wait(handle, &action.change, outcome.generation, Instant::now() + limit).await;
    let took = outcome.at.elapsed();
    Ok(Done { outcome, nodes, pending, took })
}

/// The Frontends that the change would leave without effective weight on some node that is known.
pub fn left_unserved(nodes: &[NodeState], change: &HandChange) -> Vec<Name> {
    each_once(nodes.iter().flat_map(|node| change.leaves_unserved(&node.view)))
}

/// The Frontends whose weights the change may move.
pub fn touched(nodes: &[NodeState], change: &HandChange) -> Vec<Name> {
    each_once(nodes.iter().flat_map(|node| change.touches(&node.view)))
}

fn each_once(names: impl Iterator<Item = Name>) -> Vec<Name> {
    let mut names: Vec<_> = names.collect();
    names.sort();
    names.dedup();
    names
}

type Pending = BTreeMap<Arc<str>, String>;

/// Waits until every node has it. A node that is silent is waited for as well: it is there.
async fn wait(handle: &FleetHandle, change: &HandChange, generation: i64, until: Instant) -> (usize, Pending) {
    let mut updates = handle.subscribe();
    loop {
        let nodes = handle.nodes();
        let pending: Pending = nodes
            .iter()
            .filter_map(|node| Some((Arc::clone(&node.node), what_keeps(node, change, generation)?)))
            .collect();
        if pending.is_empty() || !timeout_at(until, updates.next()).await.is_ok_and(|update| update.is_some()) {
            return (nodes.len(), pending);
        }
    }
}

fn what_keeps(node: &NodeState, change: &HandChange, generation: i64) -> Option<String> {
    if node.reporting() { change.pending(&node.view, generation).map(str::to_owned) } else { Some(node.silence()) }
}

impl NodeState {
    /// Why a node does not report, in words.
    pub fn silence(&self) -> String {
        match &self.link {
            Link::Unreachable { error, .. } => error.to_string(),
            Link::Connecting | Link::Connected => "no answer yet".to_owned(),
        }
    }
}

//! Makes an operator's change and waits until it is in effect on every node. Refuses a change that would leave
//! Frontends unserved, unless forced.
//!
//! Called by the command line and the dashboard. `kube::operator_change` writes; `model::operator_change` computes the
//! effect on a node.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::Client;
use tokio::time::{Instant, timeout_at};

use super::{
    handle::FleetHandle,
    store::{LinkState, NodeState},
};
use maglev_kube::{ChangeError, ChangeRequest, WriteOutcome, operator_change::write_change};
use maglev_model::{Name, operator_change::OperatorChange};

/// Result of a change that was made.
#[derive(Clone, Debug)]
pub struct ChangeOutcome {
    pub write: WriteOutcome,
    /// Number of nodes, including unreachable ones.
    pub nodes: usize,
    /// Nodes on which the change is not in effect, and the reason.
    pub pending: BTreeMap<Arc<str>, String>,
    /// Time from the API server's answer until the change was in effect on every node, or until the limit.
    pub duration: Duration,
}

/// A change that was not made.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// No agent has reported.
    #[error("no agent answers, so the effect on traffic is unknown; use --force to make the change anyway")]
    NoAgentAnswers,
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl RolloutError {
    /// A fixed PascalCase word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoAgentAnswers => "NoAgentAnswers",
            Self::Change(error) => error.reason(),
        }
    }
}

/// Makes the change and waits until it is in effect on every node, for at most `limit`.
///
/// # Errors
/// If nothing was written.
pub async fn roll_out(
    handle: &FleetHandle,
    client: &Client,
    request: &ChangeRequest,
    limit: Duration,
) -> Result<ChangeOutcome, RolloutError> {
    let reported: Vec<_> = handle.nodes().into_iter().filter(|node| node.as_of.is_some()).collect();
    if reported.is_empty() && !request.force {
        return Err(RolloutError::NoAgentAnswers);
    }
    let write = write_change(client, request, &|change| unserved_frontends(&reported, change)).await?;
    let (nodes, pending) = wait(handle, &request.change, write.generation, Instant::now() + limit).await;
    let duration = write.at.elapsed();
    Ok(ChangeOutcome { write, nodes, pending, duration })
}

/// The Frontends that the change would leave without effective weight on some node.
pub fn unserved_frontends(nodes: &[NodeState], change: &OperatorChange) -> Vec<Name> {
    sort_unique(nodes.iter().flat_map(|node| change.unserved_frontends(&node.view)))
}

/// The Frontends whose weights the change may alter.
pub fn affected_frontends(nodes: &[NodeState], change: &OperatorChange) -> Vec<Name> {
    sort_unique(nodes.iter().flat_map(|node| change.affected_frontends(&node.view)))
}

fn sort_unique(names: impl Iterator<Item = Name>) -> Vec<Name> {
    let mut names: Vec<_> = names.collect();
    names.sort();
    names.dedup();
    names
}

type Pending = BTreeMap<Arc<str>, String>;

/// Waits until the change is in effect on every node, including unreachable ones.
async fn wait(handle: &FleetHandle, change: &OperatorChange, generation: i64, until: Instant) -> (usize, Pending) {
    let mut updates = handle.subscribe();
    loop {
        let nodes = handle.nodes();
        let pending: Pending = nodes
            .iter()
            .filter_map(|node| Some((Arc::clone(&node.node), pending_reason(node, change, generation)?)))
            .collect();
        if pending.is_empty() || !timeout_at(until, updates.next()).await.is_ok_and(|update| update.is_some()) {
            return (nodes.len(), pending);
        }
    }
}

fn pending_reason(node: &NodeState, change: &OperatorChange, generation: i64) -> Option<String> {
    if node.reporting() {
        change.pending(&node.view, generation).map(str::to_owned)
    } else {
        Some(node.unreachable_reason())
    }
}

impl NodeState {
    /// Human-readable reason why the node does not report.
    pub fn unreachable_reason(&self) -> String {
        match &self.link {
            LinkState::Unreachable { error, .. } => error.to_string(),
            LinkState::Connecting | LinkState::Connected => "no answer yet".to_owned(),
        }
    }
}

//! Notifications for readers of the fleet.

use std::sync::Arc;

use tokio::sync::broadcast;

use maglev_rpc::client::Line;
use maglev_telemetry::AsOf;

/// A change of one node. Carries only which part changed, not the new state: a receiver that missed notifications reads
/// the current state from the handle.
#[derive(Clone, Debug)]
pub enum FleetUpdate {
    /// The node was added, or its link, its pod or its agent's version changed.
    Node(Arc<str>),
    Removed(Arc<str>),
    /// The mirror was replaced with the agent's complete state.
    Reset(Arc<str>),
    /// The agent reported events, and the mirror has applied their changes.
    Followed(Arc<FollowedLines>),
    /// Lines about probes, subscribed to by [`watch_probes`](super::FleetHandle::watch_probes).
    Probes(Arc<FollowedLines>),
    /// VPP's state was read.
    Dump(Arc<str>),
    /// VPP's counters were read, or are not available any more.
    Counters(Arc<str>),
}

/// Lines from one agent, in order.
#[derive(Clone, Debug)]
pub struct FollowedLines {
    pub node: Arc<str>,
    /// Position after these lines. The mirror has reached it.
    pub as_of: AsOf,
    /// No line is delivered twice, not even after a reconnect.
    pub lines: Vec<Line>,
}

impl FleetUpdate {
    pub fn node(&self) -> &Arc<str> {
        match self {
            Self::Node(node) | Self::Removed(node) | Self::Reset(node) | Self::Dump(node) | Self::Counters(node) => {
                node
            }
            Self::Followed(followed) | Self::Probes(followed) => &followed.node,
        }
    }
}

/// Updates for one consumer.
pub struct Updates(pub(crate) broadcast::Receiver<FleetUpdate>);

/// Item of [`Updates`].
#[derive(Clone, Debug)]
pub enum Update {
    Next(FleetUpdate),
    /// Number of updates that were lost because the receiver was too slow. The state of every node must be read again.
    Lost(u64),
}

impl Updates {
    /// The next update; `None` once the fleet has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Update> {
        match self.0.recv().await {
            Ok(update) => Some(Update::Next(update)),
            Err(broadcast::error::RecvError::Lagged(lost)) => Some(Update::Lost(lost)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The next update, if one is available.
    pub fn try_next(&mut self) -> Option<Update> {
        match self.0.try_recv() {
            Ok(update) => Some(Update::Next(update)),
            Err(broadcast::error::TryRecvError::Lagged(lost)) => Some(Update::Lost(lost)),
            Err(_) => None,
        }
    }
}

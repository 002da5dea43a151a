//! What a fleet tells those who follow it.

use std::sync::Arc;

use tokio::sync::broadcast;

use maglev_rpc::client::Line;
use maglev_telemetry::AsOf;

/// Something about one node. It says what changed, not what is: that is for the handle to say, so that who missed ten
/// of them and sees the eleventh is not worse off.
#[derive(Clone, Debug)]
pub enum FleetUpdate {
    /// There is such a node; or its link, its pod, or what the agent says of itself changed.
    Node(Arc<str>),
    /// The node is not there any more.
    Gone(Arc<str>),
    /// Its mirror was set anew from the agent's whole state.
    Reset(Arc<str>),
    /// Its agent went on.
    Followed(Arc<FollowedLines>),
    /// Lines of the probe lane, asked for by [`watch_probes`](super::FleetHandle::watch_probes).
    Probes(Arc<FollowedLines>),
    /// What VPP has was read.
    Dump(Arc<str>),
    /// VPP's counters were read, or are not there any more.
    Counters(Arc<str>),
}

/// What one agent told, in order.
#[derive(Clone, Debug)]
pub struct FollowedLines {
    pub node: Arc<str>,
    /// Where these lines led: the mirror is at least so far.
    pub as_of: AsOf,
    /// The lines. None is told twice, not even after a reconnect.
    pub lines: Vec<Line>,
}

impl FleetUpdate {
    /// The node that it is about.
    pub fn node(&self) -> &Arc<str> {
        match self {
            Self::Node(node) | Self::Gone(node) | Self::Reset(node) | Self::Dump(node) | Self::Counters(node) => node,
            Self::Followed(followed) | Self::Probes(followed) => &followed.node,
        }
    }
}

/// Updates for one consumer.
pub struct Updates(pub(crate) broadcast::Receiver<FleetUpdate>);

/// What [`Updates::next`] gives.
#[derive(Clone, Debug)]
pub enum Update {
    /// The next one.
    Next(FleetUpdate),
    /// So many were lost, for nobody took them: what is known of every node has to be read again.
    Lost(u64),
}

impl Updates {
    /// The next update; `None` once the fleet has ended. Safe to drop at any time.
    pub async fn next(&mut self) -> Option<Update> {
        match self.0.recv().await {
            Ok(update) => Some(Update::Next(update)),
            Err(broadcast::error::RecvError::Lagged(lost)) => Some(Update::Lost(lost)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The next update, if there is one already.
    pub fn try_next(&mut self) -> Option<Update> {
        match self.0.try_recv() {
            Ok(update) => Some(Update::Next(update)),
            Err(broadcast::error::TryRecvError::Lagged(lost)) => Some(Update::Lost(lost)),
            Err(_) => None,
        }
    }
}

//! The interface through which the controller follows the agents.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::digest::Digest;
use maglev_model::change::Change;

/// An update from one node's agent.
#[derive(Clone, Debug)]
pub enum LinkUpdate {
    /// The connection was established, or an attempt failed with this error.
    Link(Arc<str>, Result<(), LinkFailure>),
    /// The agent's whole state.
    Reset(Arc<str>, Digest),
    /// Changes since the last update, in order, with their times.
    Changes(Arc<str>, Vec<(Change, Timestamp)>),
    /// The connection was given up. The agent's last reports stay valid.
    Removed(Arc<str>),
}

/// A failed attempt to connect to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkFailure {
    /// A fixed PascalCase word.
    pub reason: &'static str,
    /// Human-readable message.
    pub error: Arc<str>,
}

impl From<&str> for LinkFailure {
    /// A failure that does not concern trust.
    fn from(error: &str) -> Self {
        Self { reason: "ConnectFailed", error: error.into() }
    }
}

impl LinkUpdate {
    pub fn node(&self) -> &Arc<str> {
        match self {
            Self::Link(node, _) | Self::Reset(node, _) | Self::Changes(node, _) | Self::Removed(node) => node,
        }
    }
}

/// Connections to all agents, for the duration of one term.
pub trait AgentLinks: Send + Sync + 'static {
    /// Connects to every agent until `shutdown`.
    fn follow(&self, shutdown: CancellationToken) -> mpsc::Receiver<LinkUpdate>;
}

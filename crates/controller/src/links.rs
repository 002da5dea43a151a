//! What the controller hears from the agents, wherever that comes from.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::digest::Digest;
use maglev_model::change::Change;

/// News of one node's agent.
#[derive(Clone, Debug)]
pub enum LinkNews {
    /// Its link is up, or why it is not.
    Link(Arc<str>, Result<(), Arc<str>>),
    /// All that it knows now.
    Reset(Arc<str>, Digest),
    /// What changed since, in order, and when.
    Changes(Arc<str>, Vec<(Change, Timestamp)>),
    /// Nobody knows of a link to it any more. What its agent said last stands.
    Gone(Arc<str>),
}

impl LinkNews {
    /// The node that it is about.
    pub fn node(&self) -> &Arc<str> {
        match self {
            Self::Link(node, _) | Self::Reset(node, _) | Self::Changes(node, _) | Self::Gone(node) => node,
        }
    }
}

/// Links to all agents, which last as long as somebody leads.
pub trait AgentLinks: Send + Sync + 'static {
    /// Connects to every agent until `shutdown`.
    fn follow(&self, shutdown: CancellationToken) -> mpsc::Receiver<LinkNews>;
}

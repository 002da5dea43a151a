//! Requests to a running agent: "sync now", which may also end a removal hold.

use std::{fmt, sync::Arc};

use tokio::sync::{mpsc, oneshot};

/// Limit of queued requests.
const QUEUE_CAPACITY: usize = 16;

/// The id of a removal hold, as published by `vpp-lb-sync-held`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HoldId(Arc<str>);

impl From<&str> for HoldId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl HoldId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reason for refusing a "sync now" request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyncRefused {
    /// The warm-up does not allow writes yet.
    #[error(
        "the agent has just started and writes nothing yet: it waits for its first list, and startupMinDelay after it"
    )]
    WarmingUp,
    /// No session with VPP.
    #[error("VPP is not connected")]
    Disconnected,
    /// No hold has this id, or it has ended.
    #[error("no removals are held under id {0}; the hold may have ended")]
    UnknownHold(HoldId),
    /// The agent has ended, or its request queue is full.
    #[error("the agent accepts no requests: it has ended, or its queue is full")]
    Unavailable,
}

impl SyncRefused {
    /// A fixed PascalCase word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::WarmingUp => "WarmingUp",
            Self::Disconnected => "Disconnected",
            Self::UnknownHold(_) => "UnknownHold",
            Self::Unavailable => "Unavailable",
        }
    }
}

/// Sends requests to a running agent. Clones share the queue.
#[derive(Clone, Debug)]
pub struct AgentHandle(mpsc::Sender<SyncRequest>);

impl AgentHandle {
    /// Starts a dump and a full pass. `accept` is a hold to end; its removals are executed now.
    ///
    /// # Errors
    /// [`SyncRefused`]; nothing was changed.
    pub async fn sync_now(&self, accept: Option<HoldId>) -> Result<(), SyncRefused> {
        let (reply_tx, reply_rx) = oneshot::channel();
        self.0.try_send(SyncRequest { accept, reply_tx }).map_err(|_| SyncRefused::Unavailable)?;
        reply_rx.await.unwrap_or(Err(SyncRefused::Unavailable))
    }
}

/// A "sync now" request.
#[derive(Debug)]
pub struct SyncRequest {
    /// The hold to end.
    pub accept: Option<HoldId>,
    pub reply_tx: oneshot::Sender<Result<(), SyncRefused>>,
}

/// Creates a handle and the receiver of its requests.
pub fn channel() -> (AgentHandle, mpsc::Receiver<SyncRequest>) {
    let (sender, requests_rx) = mpsc::channel(QUEUE_CAPACITY);
    (AgentHandle(sender), requests_rx)
}

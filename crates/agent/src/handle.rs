//! Requests to a running agent: "sync now".

use tokio::sync::{mpsc, oneshot};

/// Limit of queued requests.
const QUEUE_CAPACITY: usize = 16;

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
            Self::Unavailable => "Unavailable",
        }
    }
}

/// Sends requests to a running agent. Clones share the queue.
#[derive(Clone, Debug)]
pub struct AgentHandle(mpsc::Sender<SyncRequest>);

impl AgentHandle {
    /// Starts a dump and a full pass.
    ///
    /// # Errors
    /// [`SyncRefused`]; nothing was changed.
    pub async fn sync_now(&self) -> Result<(), SyncRefused> {
        let (reply_tx, reply_rx) = oneshot::channel();
        self.0.try_send(SyncRequest { reply_tx }).map_err(|_| SyncRefused::Unavailable)?;
        reply_rx.await.unwrap_or(Err(SyncRefused::Unavailable))
    }
}

/// A "sync now" request.
#[derive(Debug)]
pub struct SyncRequest {
    pub reply_tx: oneshot::Sender<Result<(), SyncRefused>>,
}

/// Creates a handle and the receiver of its requests.
pub fn channel() -> (AgentHandle, mpsc::Receiver<SyncRequest>) {
    let (sender, requests_rx) = mpsc::channel(QUEUE_CAPACITY);
    (AgentHandle(sender), requests_rx)
}

//! Asking a running agent for something: "sync now", and with it the end of a removal hold.

use std::{fmt, sync::Arc};

use tokio::sync::{mpsc, oneshot};

/// Requests that may wait for the agent.
const WAITING: usize = 16;

/// The id of a removal hold, as `vpp-lb-sync-held` tells it.
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

/// Why the agent does not sync now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyncRefused {
    /// Nothing may be written yet, by any path.
    #[error(
        "the agent has just started and writes nothing yet: it waits for its first list, and startupMinDelay after it"
    )]
    WarmingUp,
    /// There is no VPP to write to.
    #[error("VPP is not connected")]
    Disconnected,
    /// No removals are held under that id (any more).
    #[error("no removals are held as {0}")]
    UnknownHold(HoldId),
    /// The agent has ended, or has too much to do.
    #[error("the agent does not take requests")]
    Unavailable,
}

impl SyncRefused {
    /// A fixed word for it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::WarmingUp => "WarmingUp",
            Self::Disconnected => "Disconnected",
            Self::UnknownHold(_) => "UnknownHold",
            Self::Unavailable => "Unavailable",
        }
    }

    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::UnknownHold(_))
    }
}

/// A way to ask a running agent, for any number of callers.
#[derive(Clone, Debug)]
pub struct AgentHandle(mpsc::Sender<Request>);

impl AgentHandle {
    /// Has everything read and planned again soon. `accept` ends that hold: its removals go now.
    ///
    /// # Errors
    /// [`SyncRefused`]; then nothing was changed.
    pub async fn sync_now(&self, accept: Option<HoldId>) -> Result<(), SyncRefused> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(Request { accept, answer }).map_err(|_| SyncRefused::Unavailable)?;
        answered.await.unwrap_or(Err(SyncRefused::Unavailable))
    }
}

/// A "sync now".
#[derive(Debug)]
pub struct Request {
    /// The hold to end.
    pub accept: Option<HoldId>,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<(), SyncRefused>>,
}

/// A handle and the agent's end of it.
pub fn channel() -> (AgentHandle, mpsc::Receiver<Request>) {
    let (sender, requests_rx) = mpsc::channel(WAITING);
    (AgentHandle(sender), requests_rx)
}

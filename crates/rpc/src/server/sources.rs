//! What the server answers from. The binary wires it, so that this room knows nothing of agent and health checker.

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::watch;

use maglev_model::{Name, actual::LbDump, counters::StatsSnapshot, health::Probing};
use maglev_telemetry::{Snapshot, Subscriber};

/// Who the server says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The Kubernetes Node.
    pub node: String,
    /// The agent's version.
    pub version: String,
    /// The commit that it was built from.
    pub commit: String,
    /// When it was built.
    pub build_date: String,
    /// When this process started.
    pub started: Timestamp,
}

/// Whether the node does its job, or a sentence that says what it waits for.
pub type Ready = watch::Receiver<Result<(), String>>;

/// Tells how the probing of a Backend goes; `None` where it is not probed. Must not block.
pub type InspectProbing = Arc<dyn Fn(&Name) -> Option<Probing> + Send + Sync>;

/// Has the agent sync now, ending the hold of that id if one is given.
pub type SyncNow = Arc<dyn Fn(Option<String>) -> BoxFuture<'static, Result<(), SyncRefusal>> + Send + Sync>;

/// Why the agent does not sync now, each with a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyncRefusal {
    /// It must not, or cannot, yet.
    #[error("{0}")]
    NotYet(String),
    /// There is no such hold.
    #[error("{0}")]
    UnknownHold(String),
    /// It takes no requests.
    #[error("{0}")]
    Unavailable(String),
}

/// What the server answers from.
#[derive(Clone)]
pub struct Sources {
    /// Events.
    pub events: Subscriber,
    /// The state.
    pub snapshots: watch::Receiver<Snapshot>,
    /// What VPP had when it was last read.
    pub dumps: watch::Receiver<Option<Arc<LbDump>>>,
    /// What VPP has counted.
    pub counters: watch::Receiver<Option<Arc<StatsSnapshot>>>,
    /// Whether the node does its job.
    pub ready: Ready,
    /// How probing goes.
    pub probing: InspectProbing,
    /// "Sync now".
    pub sync: SyncNow,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

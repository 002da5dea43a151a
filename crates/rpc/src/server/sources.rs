//! Sources of the server's responses. Set up by the binary, so that this crate does not depend on `agent` and `health`.

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::watch;

use maglev_model::{
    Name,
    actual::LbDump,
    counters::StatsSnapshot,
    health::Probing,
    path::{PathHealth, PathKey},
};
use maglev_telemetry::{Subscriber, ViewSnapshot};

/// Identity of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of the Kubernetes Node.
    pub node: String,
    /// The agent's version.
    pub version: String,
    /// Commit of the build.
    pub commit: String,
    /// Date of the build.
    pub build_date: String,
    /// Start time of the process.
    pub started: Timestamp,
}

/// Readiness of the node; the error is a human-readable reason.
pub type Ready = watch::Receiver<Result<(), String>>;

/// Returns the progress of a Backend's probes; `None` if the backend is not probed. Must not block.
pub type InspectProbing = Arc<dyn Fn(&Name) -> Option<Probing> + Send + Sync>;

/// Probes the paths to a Backend and returns the results of these probes, sorted by Frontend. May take seconds.
pub type ProbePaths = Arc<dyn Fn(Name) -> BoxFuture<'static, Vec<(PathKey, PathHealth)>> + Send + Sync>;

/// Makes the agent sync now.
pub type SyncNow = Arc<dyn Fn() -> BoxFuture<'static, Result<(), SyncRefusal>> + Send + Sync>;

/// A refusal to sync now, with a human-readable reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyncRefusal {
    /// The agent must not, or cannot, sync yet.
    #[error("{0}")]
    NotYet(String),
    /// The agent accepts no requests.
    #[error("{0}")]
    Unavailable(String),
}

/// Sources of the server's responses.
#[derive(Clone)]
pub struct Sources {
    /// Events.
    pub events: Subscriber,
    /// The complete state.
    pub snapshots: watch::Receiver<ViewSnapshot>,
    /// VPP's state at its last reading.
    pub dumps: watch::Receiver<Option<Arc<LbDump>>>,
    /// VPP's counters.
    pub counters: watch::Receiver<Option<Arc<StatsSnapshot>>>,
    /// Readiness of the node.
    pub ready: Ready,
    /// Progress of probes.
    pub probing: InspectProbing,
    /// Handler of ProbePaths.
    pub probe_paths: ProbePaths,
    /// Handler of SyncVppLbState.
    pub sync: SyncNow,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

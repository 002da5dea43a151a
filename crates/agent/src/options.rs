//! Options and errors of the agent.

use std::{path::PathBuf, time::Duration};

use jiff::Timestamp;

use super::metrics::Metrics;

/// How an agent is set up.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// The node's name, for the lock file.
    pub node_name: String,
    /// VPP's API socket; the lock and the list of our VIPs lie beside it.
    pub api_socket: PathBuf,
    /// How long VPP may be silent while it owes an answer, before the session is given up. It doubles
    /// for the next session, to 60 s at most, until one has had a complete dump.
    pub deadline: Duration,
    /// Tells the time of day at which held removals go.
    pub clock: fn() -> Timestamp,
    /// Counts what happens.
    pub metrics: Metrics,
}

impl AgentOptions {
    /// What maglevd uses: 10 s and the machine's clock.
    pub fn new(node_name: impl Into<String>, api_socket: impl Into<PathBuf>) -> Self {
        let (node_name, api_socket) = (node_name.into(), api_socket.into());
        Self {
            node_name,
            api_socket,
            deadline: Duration::from_secs(10),
            clock: Timestamp::now,
            metrics: Metrics::default(),
        }
    }
}

/// Why an agent ended.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The directory of VPP's sockets was replaced: what is mounted here is not it any more.
    #[error("{} was deleted; ending, so that the directory is mounted anew", .0.display())]
    SocketDirectoryDeleted(PathBuf),
}

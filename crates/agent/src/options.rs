//! Options and errors of the agent.

use std::{path::PathBuf, time::Duration};

use jiff::Timestamp;

use super::{flow_accounting::Accounting, metrics::Metrics};

/// Options of an agent.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// Name of the node, written to the lock file.
    pub node_name: String,
    /// VPP's API socket. The lock and the file of owned VIPs are in the same directory.
    pub api_socket: PathBuf,
    /// Time without any reply after which a session with outstanding requests is given up. It doubles for the next
    /// session, to 60 s at most, and is reset by the first complete dump.
    pub deadline: Duration,
    /// Interval between pings of an idle session.
    pub ping_interval: Duration,
    /// Least interval between two garbage collections of a VPP that does not collect by itself (up to 26.06).
    pub garbage_interval: Duration,
    /// Clock for the time of day at which held removals are executed.
    pub clock: fn() -> Timestamp,
    pub metrics: Metrics,
    /// The place where moved buckets and flushed flows are computed.
    pub accounting: Accounting,
}

impl AgentOptions {
    /// The options of maglevd: a deadline of 10 s and the system clock.
    pub fn new(node_name: impl Into<String>, api_socket: impl Into<PathBuf>) -> Self {
        let (node_name, api_socket) = (node_name.into(), api_socket.into());
        Self {
            node_name,
            api_socket,
            deadline: Duration::from_secs(10),
            ping_interval: Duration::from_secs(10),
            garbage_interval: Duration::from_mins(1),
            clock: Timestamp::now,
            metrics: Metrics::default(),
            accounting: Accounting::default(),
        }
    }
}

/// Reason for the end of an agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The directory of VPP's sockets was replaced, so the mounted directory is stale.
    #[error("directory {} was deleted; exiting, so that the directory is mounted again", .0.display())]
    SocketDirectoryDeleted(PathBuf),
}

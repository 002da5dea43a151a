//! What all parts of one node share.

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

use super::{addresses::PodAddresses, registry::Registry};
use crate::sandbox::processes::Processes;

/// One node's surroundings.
pub(super) struct Context {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    /// Stands for the node's `/`.
    pub(super) root: PathBuf,
    pub(super) logs: PathBuf,
    pub(super) binaries: PathBuf,
    pub(super) client: kube::Client,
    /// The API server's URL and authority, for the pods' kubeconfigs.
    pub(super) server: String,
    pub(super) authority_pem: String,
    pub(super) processes: Processes,
    pub(super) timings: Timings,
    pub(super) addresses: PodAddresses,
    pub(super) registry: Registry,
}

/// How long things take on a node; the defaults are a kubelet's.
#[derive(Clone, Debug)]
pub struct Timings {
    /// Pause before a container's second restart; the first one is immediate, later ones double it.
    pub restart_base: Duration,
    /// Longest pause before a restart.
    pub restart_max: Duration,
    /// Pause before trying again what failed for a reason outside the container: a missing ConfigMap, the API server away.
    pub retry: Duration,
    /// How often the node renews its Lease and looks at its Node object.
    pub heartbeat: Duration,
    /// How long pods may take to end when the node itself is stopped.
    pub stop_within: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            restart_base: Duration::from_secs(10),
            restart_max: Duration::from_secs(300),
            retry: Duration::from_secs(2),
            heartbeat: Duration::from_secs(10),
            stop_within: Duration::from_secs(5),
        }
    }
}

//! What all parts of one node share.

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

use super::{addresses::PodAddresses, registry::Registry};
use crate::processes::Processes;

/// One node's surroundings.
pub struct Context {
    pub name: String,
    pub address: Ipv4Addr,
    /// Stands for the node's `/`.
    pub root: PathBuf,
    pub logs: PathBuf,
    pub binaries: PathBuf,
    pub client: kube::Client,
    /// The API server's URL and authority, for the pods' kubeconfigs.
    pub server: String,
    pub authority_pem: String,
    pub processes: Processes,
    pub timings: Timings,
    pub addresses: PodAddresses,
    pub registry: Registry,
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

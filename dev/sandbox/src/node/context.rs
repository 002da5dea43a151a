//! State shared by all parts of one node.

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

use super::{
    addresses::{PodAddresses, PodNamespaces},
    registry::Registry,
};
use crate::processes::Processes;

pub struct Context {
    pub name: String,
    pub address: Ipv4Addr,
    /// Represents the node's `/`.
    pub root: PathBuf,
    pub logs: PathBuf,
    pub binaries: PathBuf,
    pub client: kube::Client,
    /// URL of the API server, for the pods' kubeconfigs.
    pub server: String,
    pub authority_pem: String,
    pub processes: Processes,
    pub timings: Timings,
    pub addresses: PodAddresses,
    /// `None` if no pod has a network namespace.
    pub namespaces: Option<PodNamespaces>,
    pub registry: Registry,
}

/// Intervals and limits of a node; the defaults are those of a kubelet, except `refresh`.
#[derive(Clone, Debug)]
pub struct Timings {
    /// Delay of a container's second restart. The first restart is immediate, later delays double.
    pub restart_base: Duration,
    /// Maximum delay of a restart.
    pub restart_max: Duration,
    /// Delay before a retry after an error outside the container: a missing ConfigMap, an unreachable API server.
    pub retry: Duration,
    /// Interval of reading the Secrets and ConfigMaps of volumes. Shorter than a kubelet's, so that nobody waits for it.
    pub refresh: Duration,
    /// Interval of renewing the Lease and checking the Node object.
    pub heartbeat: Duration,
    /// Grace period of pods when the node stops.
    pub stop_within: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            restart_base: Duration::from_secs(10),
            restart_max: Duration::from_secs(300),
            retry: Duration::from_secs(2),
            refresh: Duration::from_secs(1),
            heartbeat: Duration::from_secs(10),
            stop_within: Duration::from_secs(5),
        }
    }
}

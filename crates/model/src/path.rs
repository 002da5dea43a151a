//! The VIP path: the way of a VIP's packets from this node through the tunnel to a backend, and of the direct response. A
//! probe of a HealthCheck goes to the backend's own address and does not see it.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use imbl::OrdMap;
use jiff::Timestamp;

use super::name::Name;

/// The settings of the path probe of a Frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PathProbe {
    /// Use of the results.
    pub mode: PathMode,
    /// Time between two probes of one backend while its path works. 2 s to 1 h.
    pub interval: Duration,
    /// Size of the largest packet of a client, without the encapsulation, in bytes. 576 to 9000.
    pub packet_size: u16,
}

impl Default for PathProbe {
    fn default() -> Self {
        Self { mode: PathMode::Report, interval: Duration::from_secs(10), packet_size: 1500 }
    }
}

/// The use of the results of a path probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PathMode {
    /// Results are reported. Weights do not follow them.
    #[default]
    Report,
    /// A backend needs a working path to get its weight in this Frontend, beside its HealthCheck.
    Require,
}

/// The state of the path to one backend, as the last probes found it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathState {
    /// No probe has finished yet.
    #[default]
    Unknown,
    /// A SYN through the tunnel is answered by a SYN-ACK from the VIP, also one of the configured packet size.
    Ok,
    /// A SYN through the tunnel is not answered: the backend does not decapsulate, the VIP is not on its loopback
    /// interface, or its responses do not arrive.
    Timeout,
    /// A SYN through the tunnel is answered by a reset: nothing listens on the VIP.
    Refused,
    /// Small packets pass, but a packet of the configured size is lost.
    MtuTooSmall,
    /// This node cannot send the probe. Nothing is known about the path.
    Unable,
}

impl PathState {
    /// Every state.
    pub const ALL: [Self; 6] = [Self::Unknown, Self::Ok, Self::Timeout, Self::Refused, Self::MtuTooSmall, Self::Unable];

    /// The spelling in events, metrics and conditions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Ok => "PathOK",
            Self::Timeout => "PathTimeout",
            Self::Refused => "PathRefused",
            Self::MtuTooSmall => "MtuTooSmall",
            Self::Unable => "Unable",
        }
    }
}

impl fmt::Display for PathState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Identifies a path on a node: the Frontend and the Backend. Ordered by Frontend, then by Backend.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathKey {
    /// The Frontend.
    pub frontend: Name,
    /// The Backend.
    pub backend: Name,
}

impl PathKey {
    /// The entries of `paths` for one Frontend, sorted by Backend.
    pub fn of_frontend<'p, V>(
        paths: &'p OrdMap<Self, V>,
        frontend: &Name,
    ) -> impl Iterator<Item = (&'p Self, &'p V)> + use<'p, V> {
        let first = Self { frontend: frontend.clone(), backend: Name::cluster("") };
        let frontend = frontend.clone();
        paths.range(first..).take_while(move |(key, _)| key.frontend == frontend)
    }
}

/// A snapshot of the state of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathHealth {
    /// The probed address of the backend. The state is valid only for this address.
    pub address: IpAddr,
    /// The state.
    pub state: PathState,
    /// Time of the last change of the state.
    pub since: Timestamp,
    /// True if the path failed while every path of its address family did, so that the fault may be this node's, and no
    /// probe of the path has failed since others work again. A weight that depends on the path is kept.
    pub in_doubt: bool,
    /// Human-readable explanation of the state; may be empty.
    pub detail: Arc<str>,
}

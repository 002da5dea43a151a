//! The health of backends: states, probe codes and the snapshot that the health checker publishes. [`machine`] has the
//! counter that determines a state.

pub mod machine;

use std::{borrow::Cow, fmt, net::IpAddr, sync::Arc, time::Duration};

use imbl::OrdMap;
use jiff::Timestamp;

use super::{
    name::Name,
    path::{PathHealth, PathKey},
    vip::Family,
};

/// The state of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BackendState {
    /// No probe has finished yet, or the backend cannot be probed.
    #[default]
    Unknown,
    /// Probes succeed, or the Backend names no HealthCheck: the backend takes traffic.
    Up,
    /// Probes fail.
    Down,
    /// The admin state is `Paused`: no new flows, not probed.
    Paused,
    /// The admin state is `Disabled`: no flows, not probed.
    Disabled,
}

impl BackendState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Unknown, Self::Up, Self::Down, Self::Paused, Self::Disabled];

    /// The spelling in events and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for BackendState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The result of a probe, named as in HAProxy: layer and outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProbeCode {
    /// The connection or echo succeeded, and the probe requires nothing more.
    L4Ok,
    /// Timeout while connecting or waiting for the echo reply.
    L4Timeout,
    /// The connection was refused or reset, or the host is unreachable.
    L4Connection,
    /// The TLS handshake succeeded, and the probe requires nothing more.
    L6Ok,
    /// Timeout during the TLS handshake.
    L6Timeout,
    /// The TLS handshake failed.
    L6Response,
    /// The response was as expected.
    L7Ok,
    /// Timeout while waiting for the response.
    L7Timeout,
    /// The response violated the protocol, or its body did not match.
    L7Response,
    /// The status of the response was not an expected one.
    L7Status,
}

impl ProbeCode {
    /// Every code in order: `ALL[code as usize]` is `code`.
    pub const ALL: [Self; 10] = [
        Self::L4Ok,
        Self::L4Timeout,
        Self::L4Connection,
        Self::L6Ok,
        Self::L6Timeout,
        Self::L6Response,
        Self::L7Ok,
        Self::L7Timeout,
        Self::L7Response,
        Self::L7Status,
    ];

    /// The result in events and metrics: `success` or `failure`.
    pub fn result(self) -> &'static str {
        if self.is_success() { "success" } else { "failure" }
    }

    /// The spelling of HAProxy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::L4Ok => "L4OK",
            Self::L4Timeout => "L4TOUT",
            Self::L4Connection => "L4CON",
            Self::L6Ok => "L6OK",
            Self::L6Timeout => "L6TOUT",
            Self::L6Response => "L6RSP",
            Self::L7Ok => "L7OK",
            Self::L7Timeout => "L7TOUT",
            Self::L7Response => "L7RSP",
            Self::L7Status => "L7STS",
        }
    }

    /// True if the probe succeeded.
    pub fn is_success(self) -> bool {
        matches!(self, Self::L4Ok | Self::L6Ok | Self::L7Ok)
    }
}

impl fmt::Display for ProbeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: BackendState,
    /// The state after.
    pub to: BackendState,
    /// Time of the change.
    pub at: Timestamp,
    /// The code of the probe that caused the change; `None` if no probe did.
    pub code: Option<ProbeCode>,
}

/// A snapshot of the health of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendHealth {
    /// The probed address. The state applies to this address only: if the Backend has another one by now, its state is
    /// unknown.
    pub address: IpAddr,
    /// The state.
    pub state: BackendState,
    /// True once this address has been in a known state since the agent started. Until then the weight in VPP is kept, so
    /// that a restart moves no traffic. Also false while the HealthCheck is missing or not supported, since the weight
    /// is kept then as well.
    pub ever_known: bool,
    /// True if the backend went down while the probe path was suspect, and no probe of it has failed since the path works
    /// again. The weight is kept until a probe fails or the backend is up.
    pub in_doubt: bool,
    /// The last transitions, oldest first; at most `ProbeConf::transition_history`.
    pub history: Arc<[Transition]>,
}

/// A snapshot of the health of all backends. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthSnapshot {
    /// The health by Backend. A Backend without an entry is unknown.
    pub backends: OrdMap<Name, BackendHealth>,
    /// The state of each probed path.
    pub paths: OrdMap<PathKey, PathHealth>,
    /// True while the IPv4 probe path is suspect: the weights of IPv4 backends that are down are kept.
    pub suspect_v4: bool,
    /// True while the IPv6 probe path is suspect: the weights of IPv6 backends that are down are kept.
    pub suspect_v6: bool,
}

impl HealthSnapshot {
    /// True if the probe path of `family` is suspect.
    pub fn suspect(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.suspect_v4,
            Family::V6 => self.suspect_v6,
        }
    }
}

/// The progress of the probes of one backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probing {
    /// The rise/fall counter (see [`machine::Machine`]); `None` while the state is unknown.
    pub counter: Option<u16>,
    /// Number of finished or timed-out probes since the agent began to probe the backend.
    pub probes: u64,
    /// The last finished or timed-out probe.
    pub last: Option<LastProbe>,
}

/// A probe that finished or timed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastProbe {
    /// Start of the probe.
    pub started: Timestamp,
    /// Duration of the probe.
    pub duration: Duration,
    /// Result of the probe.
    pub code: ProbeCode,
    /// Human-readable description of the result; may be empty.
    pub detail: Cow<'static, str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_indexed_by_discriminant() {
        for code in ProbeCode::ALL {
            assert_eq!(ProbeCode::ALL[code as usize], code);
        }
    }
}

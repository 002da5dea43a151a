//! A backend's health as everybody sees it: states, probe codes and the snapshot that the health
//! room publishes. The counter that decides a state is in [`machine`].

pub mod machine;

use std::{borrow::Cow, fmt, net::IpAddr, sync::Arc, time::Duration};

use imbl::OrdMap;
use jiff::Timestamp;

use super::{name::Name, vip::Family};

/// A backend's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BackendState {
    /// No probe has answered yet, or none is possible.
    #[default]
    Unknown,
    /// It takes traffic.
    Up,
    /// Its probes fail.
    Down,
    /// The operator wants no new flows on it; not probed.
    Paused,
    /// The operator wants no flows on it; not probed.
    Disabled,
}

impl BackendState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Unknown, Self::Up, Self::Down, Self::Paused, Self::Disabled];

    /// The word that events and metrics print.
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

/// The result of a probe, in HAProxy's words: layer, then what happened there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProbeCode {
    /// The connection (or echo) succeeded and nothing more was asked.
    L4Ok,
    /// Nothing answered in time.
    L4Timeout,
    /// The connection was refused, reset or unreachable.
    L4Connection,
    /// The TLS handshake succeeded and nothing more was asked.
    L6Ok,
    /// The TLS handshake did not end in time.
    L6Timeout,
    /// The TLS handshake failed.
    L6Response,
    /// The response was as expected.
    L7Ok,
    /// The response did not come in time.
    L7Timeout,
    /// The response was not valid for the protocol, or its body not as expected.
    L7Response,
    /// The response's status was not as expected.
    L7Status,
}

impl ProbeCode {
    /// All of them, in their order: `ALL[code as usize]` is `code`.
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

    /// The word for events and metrics: `success` or `failure`.
    pub fn result(self) -> &'static str {
        if self.is_success() { "success" } else { "failure" }
    }

    /// HAProxy's spelling.
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

    /// Whether the probe succeeded.
    pub fn is_success(self) -> bool {
        matches!(self, Self::L4Ok | Self::L6Ok | Self::L7Ok)
    }
}

impl fmt::Display for ProbeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: BackendState,
    /// The state after.
    pub to: BackendState,
    /// When.
    pub at: Timestamp,
    /// The probe's code, where a probe decided it.
    pub code: Option<ProbeCode>,
}

/// A backend's health at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendHealth {
    /// The address that was probed: the state belongs to it. Where it differs from the Backend's
    /// current address, the state is unknown.
    pub address: IpAddr,
    /// The state.
    pub state: BackendState,
    /// Whether this address has ever been in a known state since the agent started. Until then
    /// VPP's weight is kept, so that a restart moves nothing. False also while its HealthCheck is
    /// missing or not supported: the weight is kept then as well.
    pub ever_known: bool,
    /// It went down while the probe path was suspect, and no probe of its own has failed since the
    /// path works again: its weight is kept until one does, or until it is up.
    pub in_doubt: bool,
    /// The last transitions, oldest first; at most `ProbeConf::transition_history`.
    pub history: Arc<[Transition]>,
}

/// The health of all backends at one moment. A clone is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthSnapshot {
    /// By Backend; one without an entry is unknown.
    pub backends: OrdMap<Name, BackendHealth>,
    /// The IPv4 probe path is suspect: weights of what is down there are kept.
    pub suspect_v4: bool,
    /// The IPv6 probe path is suspect.
    pub suspect_v6: bool,
}

impl HealthSnapshot {
    /// Whether the probe path of `family` is suspect.
    pub fn suspect(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.suspect_v4,
            Family::V6 => self.suspect_v6,
        }
    }
}

/// How the probing of one backend goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probing {
    /// HAProxy's counter (see [`machine::Machine`]); `None` while the state is unknown.
    pub counter: Option<u16>,
    /// Probes answered, or given up, since the backend is probed.
    pub probes: u64,
    /// The last of them.
    pub last: Option<LastProbe>,
}

/// A probe that was answered, or given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastProbe {
    /// When it began.
    pub started: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// How it ended.
    pub code: ProbeCode,
    /// What happened, in words; may be empty.
    pub detail: Cow<'static, str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_at_its_place() {
        for code in ProbeCode::ALL {
            assert_eq!(ProbeCode::ALL[code as usize], code);
        }
    }
}

//! The VIP-path probe of a Frontend.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{duration::Duration, number::Int};

/// Probe of the path that the packets of a Frontend take to its backends, and of the direct response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PathProbe {
    /// Use of the results.
    ///
    /// * Report (the default): results are shown in status, metrics and the dashboard. Weights do not
    ///   follow them.
    /// * Require: as Report, and a backend gets its weight in this Frontend only while its path works, as
    ///   with its HealthCheck, whose rise and fall apply. Weights are kept while the paths to all
    ///   backends of the address family fail, or this node cannot probe.
    /// * Off: the path is not probed. YAML needs quotes around it, since it reads a bare Off as false.
    #[serde(default)]
    pub mode: PathProbeMode,

    /// Time between two probes of a backend while the last ones succeeded: 2s to 1h. Default: 10s.
    #[serde(default)]
    pub interval: PathInterval,

    /// Size in bytes of the largest packet that a client sends to the VIP, without the encapsulation:
    /// 576 to 9000. Default: 1500. Every second probe also sends a packet of this size, or of the
    /// largest size that the backend announces to clients (MSS) if that is smaller.
    #[serde(default)]
    pub packet_size: PacketSize,
}

/// The use of the results of a VIP-path probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PathProbeMode {
    /// Results are reported only.
    #[default]
    Report,
    /// A backend needs a working path to get its weight.
    Require,
    /// The path is not probed.
    Off,
}

/// Time between two path probes: 2s to 1h.
pub type PathInterval = Duration<2000, 3_600_000>;
/// Size of a packet in bytes: 576 to 9000.
pub type PacketSize = Int<576, 9000>;

impl Default for PathInterval {
    fn default() -> Self {
        const { Self::literal(10_000) }
    }
}

impl Default for PacketSize {
    fn default() -> Self {
        const { Self::literal(1500) }
    }
}

impl From<PacketSize> for u16 {
    fn from(size: PacketSize) -> Self {
        Self::try_from(size.get()).expect("a packet size is from 576 to 9000")
    }
}

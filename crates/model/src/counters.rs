//! A snapshot of VPP's counters. VPP counts from its own start, so every counter may restart at 0; the counters of a
//! VIP restart whenever the VIP is added.

use std::collections::BTreeMap;

use super::actual::VppVip;

/// The VPP that the agent is connected to, and its counters. Exists only while the session does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatsSnapshot {
    /// The version of VPP.
    pub version: String,
    /// The build date of VPP.
    pub build_date: String,
    /// The process ID of VPP.
    pub pid: u32,
    /// The counters; `None` while they cannot be read.
    pub counters: Option<Counters>,
}

/// A reading of VPP's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// The start of VPP in Unix seconds.
    pub boot_time: u64,
    /// The number of times that VPP has updated its statistics. Grows every few seconds.
    pub heartbeat: u64,
    /// The counters of the VIPs in the last dump.
    pub vips: BTreeMap<VppVip, VipCounters>,
}

/// The counters of one VIP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VipCounters {
    /// Packets by outcome; `None` if VPP does not report the index of the VIP's counters.
    pub packets: Option<VipPackets>,
    /// Traffic on the route to the prefix of the VIP, which all VIPs of an address share; `None` without a route.
    pub route: Option<RouteCounters>,
}

/// Packets to a VIP by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VipPackets {
    /// Packets of flows that already had an application server.
    pub existing: u64,
    /// First packets of new flows.
    pub first: u64,
    /// Packets that were forwarded without tracking their flow, because the sticky table was full.
    pub untracked: u64,
    /// Packets that were dropped, because no application server has a weight above 0.
    pub no_server: u64,
}

impl VipPackets {
    /// Each counter with its label value in metrics.
    pub fn by_kind(&self) -> [(&'static str, u64); 4] {
        [
            ("existing", self.existing),
            ("first", self.first),
            ("untracked", self.untracked),
            ("no-server", self.no_server),
        ]
    }
}

/// The traffic on a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteCounters {
    /// Number of packets.
    pub packets: u64,
    /// Number of bytes.
    pub bytes: u64,
}

//! What VPP counts, as it was at one moment. VPP counts from its own start, so every number may
//! begin at 0 again; a VIP's do whenever it is added.

use std::collections::BTreeMap;

use super::actual::VppVip;

/// What is known about the VPP that the agent is connected to. Gone when the session is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatsSnapshot {
    /// VPP's version.
    pub version: String,
    /// When that was built.
    pub build_date: String,
    /// The process.
    pub pid: u32,
    /// Its counters; `None` while they cannot be read.
    pub counters: Option<Counters>,
}

/// One reading of VPP's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// When VPP started, in Unix seconds.
    pub boot_time: u64,
    /// How often VPP has brought its own figures up to date: it grows every few seconds.
    pub heartbeat: u64,
    /// The VIPs that VPP had when it was last asked.
    pub vips: BTreeMap<VppVip, VipCounters>,
}

/// The counters of one VIP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VipCounters {
    /// Packets by what became of them; `None` where VPP does not say which counters are this VIP's.
    pub packets: Option<VipPackets>,
    /// What took the route to the VIP's prefix, which VIPs of one address share; `None` if there is none.
    pub route: Option<RouteCounters>,
}

/// Packets to a VIP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VipPackets {
    /// Of flows with a server already.
    pub existing: u64,
    /// The first of their flows.
    pub first: u64,
    /// Forwarded, but not remembered: the sticky table had no room.
    pub untracked: u64,
    /// Dropped: no server has a weight above 0.
    pub no_server: u64,
}

impl VipPackets {
    /// Each with the word that metrics use for it.
    pub fn by_kind(&self) -> [(&'static str, u64); 4] {
        [
            ("existing", self.existing),
            ("first", self.first),
            ("untracked", self.untracked),
            ("no-server", self.no_server),
        ]
    }
}

/// What took a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteCounters {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

//! A snapshot of VPP's counters. VPP counts from its own start, so every counter may restart at 0; the counters of a
//! VIP restart whenever the VIP is added. Only the totals of backends survive a restart of VPP, since the agent adds
//! them up.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::{actual::VppVip, server_map::ServerMap};

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
    /// The traffic to each address of an application server in the last dump. Absent while VPP does not report the
    /// index of the counter.
    pub backends: BTreeMap<IpAddr, BackendCounters>,
    /// The sticky table of each thread that has forwarded a packet to a VIP. Empty if VPP does not report any.
    pub sticky_tables: Vec<StickyTable>,
    /// The time between the last two readings, in which the recent traffic of `backends` was counted. Zero before the
    /// second reading.
    pub interval: Duration,
}

impl Counters {
    /// `increase`, counted in the last interval, per second; `None` before the second reading.
    pub fn per_second(&self, increase: u64) -> Option<f64> {
        (!self.interval.is_zero()).then(|| increase as f64 / self.interval.as_secs_f64())
    }
}

/// The counters of one VIP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VipCounters {
    /// Packets by outcome; `None` if VPP does not report the index of the VIP's counters.
    pub packets: Option<VipPackets>,
    /// Traffic on the route to the prefix of the VIP, which all VIPs of an address share; `None` without a route.
    pub route: Option<RouteCounters>,
    /// An upper bound of the tracked flows of each application server, from the last dump. VPP counts an expired flow
    /// until its entry in the sticky table is reused, so only 0 is exact: no tracked flow is left.
    pub flows: ServerMap<u32>,
}

/// The traffic that VPP sent to the address of an application server (VPP `/net/route/via`).
///
/// VPP counts by route and not by VIP: the counter includes all VIPs with this application server, and other traffic
/// that VPP routes through the route to the address. A total never decreases while the agent runs: if the index of the
/// counter changes, VPP restarts or the counter decreases, the new value is added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendCounters {
    /// Packets sent.
    pub packets: u64,
    /// Bytes sent, including the encapsulation.
    pub bytes: u64,
    /// The number of VIPs in VPP that have the application server.
    pub vips: u32,
    /// The part of the total that was sent in [`Counters::interval`].
    pub recent: RouteCounters,
}

/// The sticky table of one thread of VPP, which holds the tracked flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StickyTable {
    /// The index of the thread; 0 is VPP's main thread.
    pub thread: u32,
    /// The number of flows that are tracked and not expired.
    pub entries: u64,
    /// The number of flows that fit: 4 per bucket.
    pub capacity: u64,
}

impl StickyTable {
    /// The used part of the capacity, in percent.
    pub fn percent(&self) -> u64 {
        self.entries.saturating_mul(100).checked_div(self.capacity).unwrap_or(0)
    }

    /// True if at least a quarter of the capacity is used. Flows are distributed over buckets of 4 at random, and a new
    /// flow whose bucket is full is not tracked: 1.6 % of the new flows with a quarter of the capacity in use, 12 % with
    /// half of it (Erlang's formula for 4 servers).
    pub fn is_filling(&self) -> bool {
        self.percent() >= 25
    }
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

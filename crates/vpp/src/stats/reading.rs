//! The counters that the agent reads, out of thousands in the segment.

use super::{Counter, Entry, StatsClient, StatsError, View};
use maglev_model::counters::{RouteCounters, VipPackets};

const BOOT_TIME: &str = "/sys/boottime";
const HEARTBEAT: &str = "/sys/heartbeat";
const ROUTES: &str = "/net/route/to";
/// Counters of the lb plugin, in its order. The names have no leading slash.
const VIPS: [&str; 4] =
    ["packet from existing sessions", "first session packet", "untracked packet", "no server configured"];

/// One consistent reading of the counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatsReading {
    /// Start time of VPP in Unix seconds.
    pub boot_time: u64,
    /// Number of times that VPP has updated its statistics.
    pub heartbeat: u64,
    /// For each kind of packets: counters indexed by the VIP's index in VPP's pool; empty before the first VIP.
    vips: [Vec<u64>; 4],
    /// Indexed by the stats index of the route.
    routes: Vec<Counter>,
}

impl StatsReading {
    /// Reads the counters.
    ///
    /// # Errors
    /// Like [`StatsClient::read`]; [`StatsError::WrongType`] for a counter of another type.
    pub fn read(client: &StatsClient) -> Result<Self, StatsError> {
        client.read(Self::copy)
    }

    /// Copies the counters out of a segment. An absent scalar is 0; an absent vector is empty.
    ///
    /// # Errors
    /// Like [`View::simple_sums`].
    pub fn copy(view: &View<'_>) -> Result<Self, StatsError> {
        let [boot_time, heartbeat, routes, vips @ ..]: [Option<Entry>; 7] =
            view.find([BOOT_TIME, HEARTBEAT, ROUTES, VIPS[0], VIPS[1], VIPS[2], VIPS[3]]);
        let scalar = |entry: Option<Entry>, name| entry.map_or(Ok(0), |entry| view.scalar(entry, name));
        let mut reading = Self {
            boot_time: scalar(boot_time, BOOT_TIME)?,
            heartbeat: scalar(heartbeat, HEARTBEAT)?,
            ..Self::default()
        };
        if let Some(routes) = routes {
            reading.routes = view.combined_sums(routes, ROUTES)?;
        }
        for ((kind, entry), name) in reading.vips.iter_mut().zip(vips).zip(VIPS) {
            if let Some(entry) = entry {
                *kind = view.simple_sums(entry, name)?;
            }
        }
        Ok(reading)
    }

    /// The packets of the VIP with this index in VPP's pool.
    pub fn vip(&self, pool_index: u32) -> Option<VipPackets> {
        let [existing, first, untracked, no_server] =
            [0, 1, 2, 3].map(|kind: usize| self.vips[kind].get(pool_index as usize).copied());
        Some(VipPackets { existing: existing?, first: first?, untracked: untracked?, no_server: no_server? })
    }

    /// The traffic on the route with this stats index.
    pub fn route(&self, stats_index: u32) -> Option<RouteCounters> {
        let Counter { packets, bytes } = *self.routes.get(stats_index as usize)?;
        Some(RouteCounters { packets, bytes })
    }
}

//! The counters that the agent reads, out of the thousands that VPP has.

use super::{Counter, Entry, StatsClient, StatsError, View};
use maglev_model::counters::{RouteCounters, VipPackets};

const BOOT_TIME: &str = "/sys/boottime";
const HEARTBEAT: &str = "/sys/heartbeat";
const ROUTES: &str = "/net/route/to";
/// The plugin's, in its own order. Their names have no leading slash.
const VIPS: [&str; 4] =
    ["packet from existing sessions", "first session packet", "untracked packet", "no server configured"];

/// One consistent reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// When VPP started, in Unix seconds.
    pub boot_time: u64,
    /// How often VPP has brought its own figures up to date.
    pub heartbeat: u64,
    /// Each kind of packets by the VIP's index in VPP's pool; empty before the first VIP.
    vips: [Vec<u64>; 4],
    /// By the route's stats index.
    routes: Vec<Counter>,
}

impl Figures {
    /// Reads them.
    ///
    /// # Errors
    /// As [`StatsClient::read`]; [`StatsError::WrongType`] for a counter of another type.
    pub fn read(client: &StatsClient) -> Result<Self, StatsError> {
        client.read(Self::copy)
    }

    /// Copies them out of a segment. A counter that is not there is 0, or of no length.
    ///
    /// # Errors
    /// As [`View::simple_sums`].
    pub fn copy(view: &View<'_>) -> Result<Self, StatsError> {
        let [boot_time, heartbeat, routes, vips @ ..]: [Option<Entry>; 7] =
            view.find([BOOT_TIME, HEARTBEAT, ROUTES, VIPS[0], VIPS[1], VIPS[2], VIPS[3]]);
        let scalar = |entry: Option<Entry>, name| entry.map_or(Ok(0), |entry| view.scalar(entry, name));
        let mut figures = Self {
            boot_time: scalar(boot_time, BOOT_TIME)?,
            heartbeat: scalar(heartbeat, HEARTBEAT)?,
            ..Self::default()
        };
        if let Some(routes) = routes {
            figures.routes = view.combined_sums(routes, ROUTES)?;
        }
        for ((kind, entry), name) in figures.vips.iter_mut().zip(vips).zip(VIPS) {
            if let Some(entry) = entry {
                *kind = view.simple_sums(entry, name)?;
            }
        }
        Ok(figures)
    }

    /// The packets of the VIP with this index in VPP's pool.
    pub fn vip(&self, pool_index: u32) -> Option<VipPackets> {
        let [existing, first, untracked, no_server] =
            [0, 1, 2, 3].map(|kind: usize| self.vips[kind].get(pool_index as usize).copied());
        Some(VipPackets { existing: existing?, first: first?, untracked: untracked?, no_server: no_server? })
    }

    /// What took the route with this stats index.
    pub fn route(&self, stats_index: u32) -> Option<RouteCounters> {
        let Counter { packets, bytes } = *self.routes.get(stats_index as usize)?;
        Some(RouteCounters { packets, bytes })
    }
}

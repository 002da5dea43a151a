//! The counters that the agent reads: a few indexes, out of thousands of counters with an element for each VIP, route or
//! interface.

use std::collections::{BTreeMap, BTreeSet};

use super::{Counter, Entry, StatsClient, StatsError, View, counter_vectors::CounterVectors};
use maglev_model::counters::{RouteCounters, VipPackets};

const BOOT_TIME: &str = "/sys/boottime";
const HEARTBEAT: &str = "/sys/heartbeat";
/// Traffic to the prefix of a route.
const TO: &str = "/net/route/to";
/// Traffic of other routes and plugins that is sent through a route.
const VIA: &str = "/net/route/via";
/// Counters of the lb plugin, in its order. The names have no leading slash.
const VIPS: [&str; 4] =
    ["packet from existing sessions", "first session packet", "untracked packet", "no server configured"];

/// The indexes to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatsIndexes {
    /// Indexes of VIPs in VPP's pool.
    pub vips: BTreeSet<u32>,
    /// Stats indexes of routes whose own traffic is read.
    pub to: BTreeSet<u32>,
    /// Stats indexes of routes that other traffic is sent through.
    pub via: BTreeSet<u32>,
}

/// One reading of the counters. An index that VPP does not have is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatsReading {
    /// Start time of VPP in Unix seconds.
    pub boot_time: u64,
    /// Number of times that VPP has updated its statistics.
    pub heartbeat: u64,
    /// Packets to VIPs, by index in VPP's pool; empty before VPP's first VIP.
    pub vips: BTreeMap<u32, VipPackets>,
    /// Traffic to the prefixes of routes, by stats index.
    pub to: BTreeMap<u32, RouteCounters>,
    /// Traffic sent through routes, by stats index.
    pub via: BTreeMap<u32, RouteCounters>,
}

impl StatsReading {
    /// Reads the counters of `indexes`.
    ///
    /// # Errors
    /// Like [`StatsClient::read`]; [`StatsError::WrongType`] for a counter of another type.
    pub fn read(client: &StatsClient, indexes: &StatsIndexes) -> Result<Self, StatsError> {
        client.read(|view| Self::copy(view, indexes))
    }

    /// Copies the counters of `indexes` out of a segment. An absent scalar is 0.
    ///
    /// # Errors
    /// Like [`View::simple_counters`].
    pub fn copy(view: &View<'_>, indexes: &StatsIndexes) -> Result<Self, StatsError> {
        let [boot_time, heartbeat, to, via, vips @ ..]: [Option<Entry>; 8] =
            view.find([BOOT_TIME, HEARTBEAT, TO, VIA, VIPS[0], VIPS[1], VIPS[2], VIPS[3]]);
        let scalar = |entry: Option<Entry>, name| entry.map_or(Ok(0), |entry| view.scalar(entry, name));
        Ok(Self {
            boot_time: scalar(boot_time, BOOT_TIME)?,
            heartbeat: scalar(heartbeat, HEARTBEAT)?,
            vips: vip_packets(view, vips, &indexes.vips)?,
            to: route_counters(view, to, TO, &indexes.to)?,
            via: route_counters(view, via, VIA, &indexes.via)?,
        })
    }
}

fn vip_packets(
    view: &View<'_>,
    entries: [Option<Entry>; 4],
    indexes: &BTreeSet<u32>,
) -> Result<BTreeMap<u32, VipPackets>, StatsError> {
    let mut kinds = Vec::with_capacity(VIPS.len());
    for (entry, name) in entries.into_iter().zip(VIPS) {
        let Some(entry) = entry else { return Ok(BTreeMap::new()) };
        kinds.push(view.simple_counters(entry, name)?);
    }
    let packets = |index: u32| {
        let sum = |kind: usize| kinds.get(kind).and_then(|kind: &CounterVectors<'_, u64>| kind.sum(index));
        Some(VipPackets { existing: sum(0)?, first: sum(1)?, untracked: sum(2)?, no_server: sum(3)? })
    };
    Ok(indexes.iter().filter_map(|index| Some((*index, packets(*index)?))).collect())
}

fn route_counters(
    view: &View<'_>,
    entry: Option<Entry>,
    name: &'static str,
    indexes: &BTreeSet<u32>,
) -> Result<BTreeMap<u32, RouteCounters>, StatsError> {
    let Some(entry) = entry else { return Ok(BTreeMap::new()) };
    let routes = view.combined_counters(entry, name)?;
    let counters = |index: u32| {
        let Counter { packets, bytes } = routes.sum(index)?;
        Some(RouteCounters { packets, bytes })
    };
    Ok(indexes.iter().filter_map(|index| Some((*index, counters(*index)?))).collect())
}

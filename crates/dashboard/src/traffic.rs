//! Rates, from two readings of an agent's counters.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;

use super::document::{Count, Counters, MemberTraffic, Rate, RouteDetail, StickyTableDetail};
use maglev_fleet::CountersRead;
use maglev_model::{
    ServerMap,
    actual::VppVip,
    counters::{BackendCounters, RouteCounters, StickyTable, VipCounters, VipPackets},
};

/// The counters and rates of one node's VPP.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    pub(crate) read_at: Timestamp,
    pub(crate) boot_time: u64,
    pub(crate) heartbeat: u64,
    pub(crate) vips: BTreeMap<VppVip, Counters>,
    /// Tracked flows of the application servers of each VIP; an upper bound.
    pub(crate) flows: BTreeMap<VppVip, ServerMap<u32>>,
    pub(crate) backends: BTreeMap<IpAddr, MemberTraffic>,
    /// By number of the thread.
    pub(crate) sticky_tables: BTreeMap<String, StickyTableDetail>,
}

impl Traffic {
    /// The counters of `now`, with rates of VIPs since `before`, and rates of backends in the last interval of the agent.
    /// Rates are 0 without an earlier reading of the same VPP.
    pub fn between(before: Option<&CountersRead>, now: &CountersRead) -> Option<Self> {
        let counters = now.stats.counters.as_ref()?;
        let before = before.filter(|before| before.stats.pid == now.stats.pid);
        let seconds = before.map_or(0.0, |before| now.at.duration_since(before.at).as_secs_f64());
        let old = before.and_then(|before| before.stats.counters.as_ref());
        let old = old.filter(|old| old.boot_time == counters.boot_time);
        let recent = Rate::over(counters.interval.as_secs_f64());
        let vips = counters.vips.iter().map(|(vip, now)| {
            let before = old.and_then(|old| old.vips.get(vip));
            (*vip, vip_counters(now, before, Rate::over(seconds)))
        });
        Some(Self {
            read_at: now.at,
            boot_time: counters.boot_time,
            heartbeat: counters.heartbeat,
            vips: vips.collect(),
            flows: counters.vips.iter().map(|(vip, counters)| (*vip, counters.flows.clone())).collect(),
            backends: counters.backends.iter().map(|(address, now)| (*address, member_traffic(now, recent))).collect(),
            sticky_tables: counters
                .sticky_tables
                .iter()
                .map(|table| (table.thread.to_string(), table.into()))
                .collect(),
        })
    }

    /// Packets per second over all VIPs.
    pub fn rate(&self) -> f64 {
        self.vips.values().map(Counters::rate).sum()
    }
}

fn vip_counters(now: &VipCounters, before: Option<&VipCounters>, rate: Rate) -> Counters {
    let packets = now.packets.map(|packets| {
        let before = before.and_then(|before| before.packets);
        move |field: fn(&VipPackets) -> u64| rate.count(field(&packets), before.as_ref().map(field))
    });
    let packets = |field: fn(&VipPackets) -> u64| packets.as_ref().map(|packets| packets(field));
    let route = now.route.map(|route| {
        let before = before.and_then(|before| before.route);
        let count = |field: fn(&RouteCounters) -> u64| rate.count(field(&route), before.as_ref().map(field));
        RouteDetail { packets: count(|counters| counters.packets), bytes: count(|counters| counters.bytes) }
    });
    Counters {
        existing: packets(|counters| counters.existing),
        first: packets(|counters| counters.first),
        untracked: packets(|counters| counters.untracked),
        no_server: packets(|counters| counters.no_server),
        route,
    }
}

fn member_traffic(now: &BackendCounters, rate: Rate) -> MemberTraffic {
    let BackendCounters { packets, bytes, vips, recent } = now;
    let count = |total: &u64, recent: u64| Count { total: *total, rate: rate.per_second(recent) };
    MemberTraffic { packets: count(packets, recent.packets), bytes: count(bytes, recent.bytes), vips: *vips }
}

impl From<&StickyTable> for StickyTableDetail {
    fn from(table: &StickyTable) -> Self {
        Self { entries: table.entries, capacity: table.capacity, filling: table.is_filling() }
    }
}

impl Counters {
    /// Packets to the VIP per second, dropped ones included.
    pub fn rate(&self) -> f64 {
        [self.existing, self.first, self.untracked, self.no_server].iter().flatten().map(|count| count.rate).sum()
    }

    /// Packets per second that are dropped because no server is configured.
    pub fn dropping(&self) -> f64 {
        self.no_server.map_or(0.0, |count| count.rate)
    }
}

impl Rate {
    fn count(self, now: u64, before: Option<u64>) -> Count {
        // A VIP's counters restart when it is added again.
        let increase = before.map_or(0, |before| now.saturating_sub(before));
        Count { total: now, rate: self.per_second(increase) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use maglev_model::counters::{self, StatsSnapshot};

    fn vip() -> VppVip {
        VppVip { address: [203, 0, 113, 1].into(), length: 32, protocol: 6, port: 80 }
    }

    fn read(second: i64, boot_time: u64, first: u64, no_server: u64) -> CountersRead {
        let packets = Some(VipPackets { first, no_server, ..VipPackets::default() });
        let vips = [(vip(), VipCounters { packets, ..VipCounters::default() })].into();
        let counters = Some(counters::Counters { boot_time, heartbeat: 1, vips, ..counters::Counters::default() });
        let stats = Arc::new(StatsSnapshot { counters, ..StatsSnapshot::default() });
        CountersRead { at: Timestamp::from_second(second).expect("the time is in range"), stats }
    }

    #[test]
    fn rate_is_the_increase_per_second() {
        let traffic = Traffic::between(Some(&read(0, 9, 100, 7)), &read(4, 9, 300, 7)).expect("there are counters");
        let counters = &traffic.vips[&vip()];
        assert_eq!(counters.first, Some(Count { total: 300, rate: 50.0 }));
        assert_eq!((counters.dropping(), traffic.rate()), (0.0, 50.0));
        let traffic = Traffic::between(Some(&read(0, 9, 100, 7)), &read(4, 9, 100, 8)).expect("there are counters");
        assert_eq!(traffic.vips[&vip()].dropping(), 0.3);
    }

    #[test]
    fn rate_of_a_backend_is_that_of_the_last_interval_of_the_agent() {
        let recent = RouteCounters { packets: 20, bytes: 2000 };
        let backend = BackendCounters { packets: 700, bytes: 70_000, vips: 2, recent };
        let backends = [([192, 0, 2, 1].into(), backend)];
        for (seconds, rate) in [(5, 4.0), (0, 0.0)] {
            let interval = std::time::Duration::from_secs(seconds);
            let counters = counters::Counters { backends: backends.into(), interval, ..counters::Counters::default() };
            let stats = Arc::new(StatsSnapshot { counters: Some(counters), ..StatsSnapshot::default() });
            let traffic =
                Traffic::between(None, &CountersRead { stats, ..read(0, 9, 1, 1) }).expect("there are counters");
            let expected = MemberTraffic {
                packets: Count { total: 700, rate },
                bytes: Count { total: 70_000, rate: rate * 100.0 },
                vips: 2,
            };
            assert_eq!(traffic.backends[&backends[0].0], expected);
        }
    }

    #[test]
    fn restarted_counter_has_no_rate() {
        for before in [None, Some(read(0, 8, 100, 0)), Some(read(0, 9, 400, 0)), Some(read(4, 9, 100, 0))] {
            let traffic = Traffic::between(before.as_ref(), &read(4, 9, 300, 0)).expect("there are counters");
            assert_eq!(traffic.vips[&vip()].first, Some(Count { total: 300, rate: 0.0 }), "{before:?}");
        }
        let empty = CountersRead { stats: Arc::default(), ..read(0, 9, 1, 1) };
        assert_eq!(Traffic::between(None, &empty), None);
    }
}

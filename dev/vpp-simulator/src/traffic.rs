//! Traffic that nobody sends: the counters of VIPs and of the routes to them move as if packets came.
//!
//! How many come is set for each VIP, in packets per second by kind. As with VPP, a packet to a VIP
//! without any server of weight > 0 finds no server and counts as that alone.

use std::{collections::BTreeMap, time::Duration};

use super::{lb::Lb, vip::Vip};
use maglev_model::actual::VppVip;

/// Counting is put off until this much time has come together, so that a storm of requests does not
/// walk through all VIPs for each of them.
const STEP: Duration = Duration::from_millis(10);

/// What comes to one VIP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets of known flows, a second.
    pub existing: u32,
    /// First packets of flows, a second.
    pub first: u32,
    /// Packets that the sticky table has no room for, a second.
    pub untracked: u32,
    /// Bytes of each packet.
    pub packet_bytes: u32,
}

/// A VIP's counters in VPP's order: existing sessions, first packets, untracked, no server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub packets: [u64; 4],
    /// Parts of packets that are still to come: packets per second times nanoseconds.
    rest: [u128; 3],
}

/// What comes to whom, and until when it was counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flows {
    /// To VIPs that are not named in `to`.
    default: Traffic,
    to: BTreeMap<VppVip, Traffic>,
    counted: Duration,
}

impl Flows {
    pub(crate) fn new(default: Traffic) -> Self {
        Self { default, ..Self::default() }
    }

    fn of(&self, vip: &Vip) -> Traffic {
        self.to.get(&vip.id).copied().unwrap_or(self.default)
    }
}

impl Lb {
    /// From now on, `traffic` comes to `vip`, also if it is added only later.
    pub fn set_traffic(&mut self, vip: impl Into<VppVip>, traffic: Traffic) {
        self.flows.to.insert(vip.into(), traffic);
    }

    /// Counts what came until `now`.
    pub(crate) fn count_traffic(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.flows.counted);
        if passed < STEP {
            return;
        }
        self.flows.counted = now;
        if self.flows.default == Traffic::default() && self.flows.to.is_empty() {
            return;
        }
        for (_, vip) in self.vips.iter_mut().filter(|(_, vip)| vip.used) {
            let traffic = self.flows.of(vip);
            let weighs = |slot: u32| self.servers.get(slot).is_some_and(|server| server.used && server.weight > 0);
            let served = vip.servers.iter().any(|(_, &slot)| weighs(slot));
            let packets = vip.counters.add(traffic, passed, served);
            self.fib.count(vip.prefix, packets, packets * u64::from(traffic.packet_bytes));
        }
    }
}

impl Counters {
    /// Returns how many packets came.
    fn add(&mut self, traffic: Traffic, passed: Duration, served: bool) -> u64 {
        let rates = [traffic.existing, traffic.first, traffic.untracked];
        let mut all = 0;
        for (kind, (rate, rest)) in rates.into_iter().zip(&mut self.rest).enumerate() {
            let came = *rest + u128::from(rate) * passed.as_nanos();
            *rest = came % 1_000_000_000;
            let packets = u64::try_from(came / 1_000_000_000).unwrap_or(u64::MAX);
            self.packets[if served { kind } else { 3 }] += packets;
            all += packets;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        options::{GarbageCollection, Recompute, Release},
        prefix::Prefix,
        vip::{VipSettings, identity},
    };

    #[test]
    fn packets_are_counted_by_kind_and_without_a_server_as_that() {
        let mut lb = Lb::new(Release::default(), GarbageCollection::default(), Recompute::Lazy);
        let prefix = Prefix::host([192, 0, 2, 1].into());
        let (id, server) = (identity(prefix, 6, 80), [192, 0, 2, 9].into());
        let index = lb.add_vip(prefix, 6, 80, VipSettings::default()).unwrap();
        lb.add_as(id, server, 1).unwrap();
        lb.set_traffic(id, Traffic { existing: 3, first: 2, untracked: 1, packet_bytes: 100 });
        // 0.5 s at a time: half a packet is not lost.
        for half in 1..=4 {
            lb.advance_to(Duration::from_millis(500 * half));
        }
        let packets = |lb: &Lb| lb.vips.get(index).unwrap().counters.packets;
        assert_eq!(packets(&lb), [6, 4, 2, 0]);
        lb.set_weight(id, server, 0).unwrap();
        lb.advance_to(Duration::from_secs(3));
        assert_eq!(packets(&lb), [6, 4, 2, 6]);
        let route = lb.fib.lookup(prefix, true).unwrap().stats_index;
        assert_eq!(lb.fib.counters().get(&route), Some(&(18, 1800)));
    }
}

//! Simulated traffic: the counters of VIPs and routes increase without packets.
//!
//! The traffic to each VIP is set in packets per second by kind. Like in VPP, a packet to a VIP without a server of weight > 0
//! counts as `no server` only.

use std::{collections::BTreeMap, time::Duration};

use super::{lb::Lb, vip::Vip};
use maglev_model::actual::VppVip;

/// Minimum time between two updates of the counters, so that frequent requests do not iterate over all VIPs each time.
const STEP: Duration = Duration::from_millis(10);

/// The traffic to one VIP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets of existing flows per second.
    pub existing: u32,
    /// First packets of flows per second.
    pub first: u32,
    /// Packets that do not fit into the sticky table per second.
    pub untracked: u32,
    /// Bytes per packet.
    pub packet_bytes: u32,
}

/// A VIP's counters in VPP's order: existing sessions, first packets, untracked, no server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub packets: [u64; 4],
    /// Fractions of packets: packets per second times nanoseconds.
    rest: [u128; 3],
}

/// The traffic by VIP, and the time of the last update.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flows {
    /// Traffic to VIPs not listed in `to`.
    default: Traffic,
    to: BTreeMap<VppVip, Traffic>,
    counted: Duration,
}

impl Flows {
    pub(crate) fn new(default: Traffic) -> Self {
        Self { default, ..Self::default() }
    }

    fn for_vip(&self, vip: &Vip) -> Traffic {
        self.to.get(&vip.id).copied().unwrap_or(self.default)
    }
}

impl Lb {
    /// Sets the traffic to `vip`, also if it is added later.
    pub fn set_traffic(&mut self, vip: impl Into<VppVip>, traffic: Traffic) {
        self.flows.to.insert(vip.into(), traffic);
    }

    /// Updates the counters until `now`.
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
            let traffic = self.flows.for_vip(vip);
            let weighs = |slot: u32| self.servers.get(slot).is_some_and(|server| server.used && server.weight > 0);
            let served = vip.servers.iter().any(|(_, &slot)| weighs(slot));
            let packets = vip.counters.add(traffic, passed, served);
            self.fib.count(vip.prefix, packets, packets * u64::from(traffic.packet_bytes));
        }
    }
}

impl Counters {
    /// Returns the number of packets.
    fn add(&mut self, traffic: Traffic, passed: Duration, served: bool) -> u64 {
        let rates = [traffic.existing, traffic.first, traffic.untracked];
        let mut all = 0;
        for (kind, (rate, rest)) in rates.into_iter().zip(&mut self.rest).enumerate() {
            let accumulated = *rest + u128::from(rate) * passed.as_nanos();
            *rest = accumulated % 1_000_000_000;
            let packets = u64::try_from(accumulated / 1_000_000_000).unwrap_or(u64::MAX);
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
    fn packets_are_counted_by_kind_or_as_no_server() {
        let mut lb = Lb::new(Release::default(), GarbageCollection::default(), Recompute::Lazy);
        let prefix = Prefix::host([192, 0, 2, 1].into());
        let (id, server) = (identity(prefix, 6, 80), [192, 0, 2, 9].into());
        let index = lb.add_vip(prefix, 6, 80, VipSettings::default()).unwrap();
        lb.add_as(id, server, 1).unwrap();
        lb.set_traffic(id, Traffic { existing: 3, first: 2, untracked: 1, packet_bytes: 100 });
        // Steps of 0.5 s: half packets are not lost.
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

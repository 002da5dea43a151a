//! Simulated traffic: the counters of VIPs, routes and backends increase without packets.
//!
//! The traffic to each VIP is set in packets per second by kind. Like in VPP, a packet to a VIP without a server of weight > 0
//! counts as `no server` only. The other packets and the new flows are divided among the servers by their buckets of the
//! new-flow table, without losing a packet.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::{lb::Lb, sticky::Sticky, vip::Vip};
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
    /// Bytes per packet, without the encapsulation.
    pub packet_bytes: u32,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub packets: u64,
    /// Including the encapsulation.
    pub bytes: u64,
}

/// A VIP's counters in VPP's order: existing sessions, first packets, untracked, no server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub packets: [u64; 4],
    /// Fractions of packets: packets per second times nanoseconds.
    rest: [u128; 3],
    /// The traffic divided among the servers.
    divided: Divided,
}

/// Packets and new flows to divide among the servers of a VIP.
#[derive(Clone, Copy, Debug, Default)]
struct Divided {
    packets: u64,
    flows: u64,
}

/// The traffic by VIP, and the time of the last update.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flows {
    /// Traffic to VIPs not listed in `to`.
    default: Traffic,
    to: BTreeMap<VppVip, Traffic>,
    counted: Duration,
    /// All packets sent to each server address since VPP's start, regardless of VPP's counters.
    pub(crate) sent: BTreeMap<IpAddr, Sent>,
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

    /// The packets made so far for the server address, which no reset of VPP's counters affects.
    pub fn sent(&self, address: IpAddr) -> Sent {
        self.flows.sent.get(&address).copied().unwrap_or_default()
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
        let Sticky::Simulated(tables) = &mut self.sticky else { return };
        tables.expire(now, self.conf);
        for index in self.vips.iter().filter(|(_, vip)| vip.used).map(|(index, _)| index).collect::<Vec<_>>() {
            self.count_vip(index, passed);
        }
    }

    fn count_vip(&mut self, index: u32, passed: Duration) {
        let vip = self.vips.get(index).expect("the index comes from the pool");
        let traffic = self.flows.for_vip(vip);
        if traffic == Traffic::default() {
            return;
        }
        if vip.stale {
            self.fill_table(index);
        }
        let vip = self.vips.get_mut(index).expect("the index comes from the pool");
        let slots: Vec<u32> = vip.servers.iter().map(|(_, &slot)| slot).collect();
        let served = slots.iter().any(|&slot| self.servers.get(slot).is_some_and(|server| server.buckets > 0));
        let [existing, first, untracked] = vip.counters.add(traffic, passed, served);
        let now = Divided { packets: existing + first + untracked, flows: first };
        let inner = u64::from(traffic.packet_bytes);
        let outer = inner + vip.kind.overhead();
        self.fib.count_to(vip.prefix, now.packets, now.packets * inner);
        if served {
            let before = vip.counters.divided;
            vip.counters.divided = Divided { packets: before.packets + now.packets, flows: before.flows + now.flows };
            self.send(&slots, before, now, outer);
        }
    }

    /// Sends packets of `bytes` each, the first ones of `flows` new flows included, to the servers of a VIP.
    fn send(&mut self, slots: &[u32], before: Divided, now: Divided, bytes: u64) {
        let buckets = slots.iter().map(|&slot| self.servers.get(slot).map_or(0, |server| server.buckets));
        let buckets: Vec<u32> = buckets.collect();
        let packets = divide(&buckets, before.packets, now.packets);
        let flows = divide(&buckets, before.flows, now.flows);
        for ((&slot, packets), flows) in slots.iter().zip(packets).zip(flows) {
            let server = self.servers.get(slot).expect("a VIP's server is in the pool");
            self.fib.count_via(server.dpo, packets, packets * bytes);
            let sent = self.flows.sent.entry(server.address).or_default();
            *sent = Sent { packets: sent.packets + packets, bytes: sent.bytes + packets * bytes };
            if let Sticky::Simulated(tables) = &mut self.sticky {
                tables.add(slot, flows, self.now, self.conf);
            }
        }
    }
}

/// Divides `total` units by buckets: one after the other hits another bucket, until all buckets were hit. `before` units
/// were divided earlier.
fn divide(buckets: &[u32], before: u64, total: u64) -> Vec<u64> {
    let length: u64 = buckets.iter().copied().map(u64::from).sum();
    let mut parts: Vec<u64> = buckets.iter().map(|&buckets| total / length * u64::from(buckets)).collect();
    // Coprime with the length, which is a power of two, and near the golden ratio of it: any few units are spread evenly.
    let stride = (length * 633 / 1024) | 1;
    let ends = buckets.iter().scan(0, |end, &buckets| {
        *end += u64::from(buckets);
        Some(*end)
    });
    let ends: Vec<u64> = ends.collect();
    for unit in before..before + total % length {
        let bucket = unit % length * stride % length;
        parts[ends.partition_point(|&end| end <= bucket)] += 1;
    }
    parts
}

impl Counters {
    /// Returns the number of packets by kind.
    fn add(&mut self, traffic: Traffic, passed: Duration, served: bool) -> [u64; 3] {
        let rates = [traffic.existing, traffic.first, traffic.untracked];
        let mut all = [0; 3];
        for (kind, (rate, rest)) in rates.into_iter().zip(&mut self.rest).enumerate() {
            let accumulated = *rest + u128::from(rate) * passed.as_nanos();
            *rest = accumulated % 1_000_000_000;
            all[kind] = u64::try_from(accumulated / 1_000_000_000).unwrap_or(u64::MAX);
            self.packets[if served { kind } else { 3 }] += all[kind];
        }
        all
    }
}

#[cfg(test)]
mod tests;

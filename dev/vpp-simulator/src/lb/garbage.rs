//! Garbage collection of removed application servers and deleted VIPs.
//!
//! VPP collects the servers of a VIP when one of them is added or removed, and those of all VIPs periodically
//! (`lb-gc-process`), but each VIP at most once per interval. A removed server can stay for up to two intervals.
//! A server that an entry of the sticky table of packets refers to stays, even if the entry has expired.
//! Up to 26.06 there is no periodic collection: deleted VIPs stay until the CLI command `lb conf`, with arguments, collects
//! them.

use std::time::Duration;

use super::{Lb, Prefix};

impl Lb {
    /// Periodic collection: removes all servers that are due, then deleted VIPs without servers.
    pub(crate) fn collect_garbage(&mut self, at: Duration) {
        for index in self.vips.iter().map(|(index, _)| index).collect::<Vec<_>>() {
            self.collect_servers(index, at);
            if self.vips.get(index).is_some_and(|vip| !vip.used && vip.servers.len() == 0) {
                self.vips.remove(index);
            }
        }
    }

    /// Collects the servers of one VIP, unless that was done within the interval.
    pub(crate) fn collect_servers(&mut self, index: u32, at: Duration) {
        let vip = self.vips.get_mut(index).expect("the index of a VIP is in the pool");
        if at <= vip.collected_at + self.collection.interval {
            return;
        }
        vip.collected_at = at;
        let minimum = self.collection.minimum_age;
        let slots: Vec<_> = vip.servers.iter().map(|(place, &slot)| (place, slot)).collect();
        for (place, slot) in slots {
            let server = self.servers.get(slot).expect("a VIP's server is in the pool");
            if !server.used && server.removed_at + minimum < at && !self.sticky.holds(slot) {
                self.collect(index, place, slot);
            }
        }
    }

    /// Removes one server. VPP crashes if its NAT mapping has been removed already: by another VIP with the same server
    /// and port, or by an earlier VIP with the identity of this one.
    fn collect(&mut self, index: u32, place: u32, slot: u32) {
        let server = self.servers.remove(slot).expect("a server that is due is in the pool");
        let vip = self.vips.get_mut(index).expect("a VIP outlives its servers");
        vip.servers.remove(place);
        if vip.kind.is_nat() && !self.mappings.remove(&(server.address, vip.target_port())) {
            self.crashed = true;
        }
        self.sticky.flush(slot);
        self.fib.release(Prefix::host(server.address));
    }
}

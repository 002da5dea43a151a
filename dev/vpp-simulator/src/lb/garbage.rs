//! When removed application servers and deleted VIPs leave VPP's memory.
//!
//! VPP looks at a VIP's servers when one of them is added or removed, and at all VIPs at fixed times
//! (`lb-gc-process`), but not twice at the same VIP within the interval. So a removed server may stay
//! for twice the interval.
//! Up to 26.06 there are no fixed times: a deleted VIP stays for ever.

use std::time::Duration;

use super::{Lb, Prefix};

impl Lb {
    /// A fixed time has come: all servers that are due go, then the deleted VIPs that have none.
    pub(crate) fn collect_garbage(&mut self, at: Duration) {
        for index in self.vips.iter().map(|(index, _)| index).collect::<Vec<_>>() {
            self.collect_servers(index, at);
            if self.vips.get(index).is_some_and(|vip| !vip.used && vip.servers.len() == 0) {
                self.vips.remove(index);
            }
        }
    }

    /// Looks at the servers of one VIP, unless that was done less than the interval ago.
    pub(crate) fn collect_servers(&mut self, index: u32, at: Duration) {
        let vip = self.vips.get_mut(index).expect("a VIP that is looked at is in the pool");
        if at <= vip.collected_at + self.collection.interval {
            return;
        }
        vip.collected_at = at;
        let minimum = self.collection.minimum_age;
        let slots: Vec<_> = vip.servers.iter().map(|(place, &slot)| (place, slot)).collect();
        for (place, slot) in slots {
            let server = self.servers.get(slot).expect("a VIP's server is in the pool");
            if !server.used && server.removed_at + minimum < at {
                self.collect(index, place, slot);
            }
        }
    }

    /// Forgets one server. VPP does not survive that where its NAT mapping is gone: another VIP, or
    /// an earlier life of this one, had the same server and port, and took the mapping with it.
    fn collect(&mut self, index: u32, place: u32, slot: u32) {
        let server = self.servers.remove(slot).expect("a server that is due is in the pool");
        let vip = self.vips.get_mut(index).expect("a VIP outlives its servers");
        vip.servers.remove(place);
        if vip.kind.is_nat() && !self.mappings.remove(&(server.address, vip.target_port())) {
            self.crashed = true;
        }
        self.fib.release(Prefix::host(server.address));
    }
}

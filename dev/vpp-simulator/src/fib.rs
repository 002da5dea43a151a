//! The routes that the `lb` plugin installs: one per VIP prefix and one per application server. Used by `ip_route_lookup_v2`
//! and for `dpo:` in the CLI.
//!
//! There are no interfaces and no other routes: other addresses match the default route.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::prefix::Prefix;

/// Load-balance objects below this index belong to routes that exist at VPP's start.
const FIRST_INDEX: u32 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The matching prefix.
    pub prefix: Prefix,
    /// Index of VPP's load-balance object and of the route's counters.
    pub stats_index: u32,
}

/// The routes of table 0.
#[derive(Clone, Debug)]
pub(crate) struct Fib {
    /// Index and reference count of each prefix.
    routes: BTreeMap<Prefix, (u32, u32)>,
    free: Vec<u32>,
    next: u32,
    /// Packets and bytes of each route, by index.
    counters: BTreeMap<u32, (u64, u64)>,
}

impl Fib {
    pub(crate) fn new() -> Self {
        Self { routes: BTreeMap::new(), free: Vec::new(), next: FIRST_INDEX, counters: BTreeMap::new() }
    }

    /// Adds a reference to the route to `prefix`. Returns its index.
    pub(crate) fn acquire(&mut self, prefix: Prefix) -> u32 {
        let (free, next, counters) = (&mut self.free, &mut self.next, &mut self.counters);
        let route = self.routes.entry(prefix).or_insert_with(|| {
            let index = free.pop().unwrap_or_else(|| {
                *next += 1;
                *next - 1
            });
            // Counters of a reused index start at 0.
            counters.insert(index, (0, 0));
            (index, 0)
        });
        route.1 += 1;
        route.0
    }

    /// Drops a reference to the route to `prefix`.
    pub(crate) fn release(&mut self, prefix: Prefix) {
        let Some(route) = self.routes.get_mut(&prefix) else { return };
        route.1 -= 1;
        if route.1 == 0 {
            self.free.push(route.0);
            self.routes.remove(&prefix);
        }
    }

    /// Counts packets on the route to exactly `prefix`.
    pub(crate) fn count(&mut self, prefix: Prefix, packets: u64, bytes: u64) {
        if let Some((index, _)) = self.routes.get(&prefix) {
            let (all_packets, all_bytes) = self.counters.entry(*index).or_default();
            (*all_packets, *all_bytes) = (*all_packets + packets, *all_bytes + bytes);
        }
    }

    /// The counters of all current and former routes, by index.
    pub(crate) fn counters(&self) -> &BTreeMap<u32, (u64, u64)> {
        &self.counters
    }

    /// The route to exactly `prefix`, or else the longest match. A default route always exists.
    pub(crate) fn lookup(&self, prefix: Prefix, exact: bool) -> Option<Route> {
        let covers = |route: &&Prefix| route.covers(prefix);
        let longest = self.routes.keys().filter(covers).max_by_key(|route| route.length());
        let route = longest.map_or_else(
            || default_route(prefix),
            |prefix| Route { prefix: *prefix, stats_index: self.routes[prefix].0 },
        );
        (!exact || route.prefix == prefix).then_some(route)
    }
}

fn default_route(prefix: Prefix) -> Route {
    let (any, stats_index): (IpAddr, u32) = match prefix.address() {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED.into(), 0),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED.into(), 1),
    };
    Route { prefix: Prefix::new(any, 0).expect("length 0 is legal in either family"), stats_index }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(address: &str, length: u8) -> Prefix {
        Prefix::new(address.parse().unwrap(), length).unwrap()
    }

    #[test]
    fn shared_route_lives_until_its_last_reference_is_released() {
        let mut fib = Fib::new();
        let host = prefix("192.0.2.10", 32);
        assert_eq!((fib.acquire(host), fib.acquire(host)), (10, 10));
        assert_eq!(fib.acquire(prefix("192.0.2.11", 32)), 11);
        fib.release(host);
        assert_eq!(fib.lookup(host, true).map(|route| route.stats_index), Some(10));
        fib.release(host);
        assert_eq!(fib.lookup(host, true), None);
        assert_eq!(fib.acquire(prefix("192.0.2.12", 32)), 10, "the free index is used again");
    }

    #[test]
    fn inexact_lookup_finds_the_longest_match() {
        let mut fib = Fib::new();
        fib.acquire(prefix("192.0.2.0", 24));
        fib.acquire(prefix("192.0.0.0", 16));
        let lookup = |address, exact| fib.lookup(prefix(address, 32), exact).map(|route| route.prefix);
        assert_eq!(lookup("192.0.2.1", false), Some(prefix("192.0.2.0", 24)));
        assert_eq!(lookup("198.51.100.1", false), Some(prefix("0.0.0.0", 0)));
        assert_eq!(lookup("192.0.2.1", true), None);
    }
}

//! The routes that the `lb` plugin makes VPP install: one for each VIP prefix and one for each
//! application server. `ip_route_lookup_v2` and the `dpo:` of the CLI read them.
//!
//! There are no interfaces and no other routes: an address nobody asked for meets the default route.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::prefix::Prefix;

/// Load-balance objects below this one belong to the routes that VPP has from the start.
const FIRST_INDEX: u32 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The prefix that matched.
    pub prefix: Prefix,
    /// VPP's load-balance object, which is also the index of the route's counters.
    pub stats_index: u32,
}

/// The routes of table 0.
#[derive(Clone, Debug)]
pub(crate) struct Fib {
    /// For each prefix its index and the number of those who need it.
    routes: BTreeMap<Prefix, (u32, u32)>,
    free: Vec<u32>,
    next: u32,
    /// Packets and bytes that took each route, by its index.
    counters: BTreeMap<u32, (u64, u64)>,
}

impl Fib {
    pub(crate) fn new() -> Self {
        Self { routes: BTreeMap::new(), free: Vec::new(), next: FIRST_INDEX, counters: BTreeMap::new() }
    }

    /// One more needs the route to `prefix`; returns its index.
    pub(crate) fn acquire(&mut self, prefix: Prefix) -> u32 {
        let (free, next, counters) = (&mut self.free, &mut self.next, &mut self.counters);
        let route = self.routes.entry(prefix).or_insert_with(|| {
            let index = free.pop().unwrap_or_else(|| {
                *next += 1;
                *next - 1
            });
            // An index that is used again begins at 0.
            counters.insert(index, (0, 0));
            (index, 0)
        });
        route.1 += 1;
        route.0
    }

    /// One of those who need the route to `prefix` is gone.
    pub(crate) fn release(&mut self, prefix: Prefix) {
        let Some(route) = self.routes.get_mut(&prefix) else { return };
        route.1 -= 1;
        if route.1 == 0 {
            self.free.push(route.0);
            self.routes.remove(&prefix);
        }
    }

    /// Packets took the route to exactly `prefix`.
    pub(crate) fn count(&mut self, prefix: Prefix, packets: u64, bytes: u64) {
        if let Some((index, _)) = self.routes.get(&prefix) {
            let (all_packets, all_bytes) = self.counters.entry(*index).or_default();
            (*all_packets, *all_bytes) = (*all_packets + packets, *all_bytes + bytes);
        }
    }

    /// What took each route that there is or was, by its index.
    pub(crate) fn counters(&self) -> &BTreeMap<u32, (u64, u64)> {
        &self.counters
    }

    /// The route to exactly `prefix`, or else the longest one that covers it. A default route is
    /// always there.
    pub(crate) fn lookup(&self, prefix: Prefix, exact: bool) -> Option<Route> {
        let covers = |route: &&Prefix| route.covers(prefix);
        let longest = self.routes.keys().filter(covers).max_by_key(|route| route.length());
        let found = longest
            .map_or_else(|| default_route(prefix), |found| Route { prefix: *found, stats_index: self.routes[found].0 });
        (!exact || found.prefix == prefix).then_some(found)
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
    fn a_shared_route_lives_until_its_last_user_is_gone() {
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
    fn a_lookup_that_is_not_exact_finds_the_longest_cover() {
        let mut fib = Fib::new();
        fib.acquire(prefix("192.0.2.0", 24));
        fib.acquire(prefix("192.0.0.0", 16));
        let found = |address, exact| fib.lookup(prefix(address, 32), exact).map(|route| route.prefix);
        assert_eq!(found("192.0.2.1", false), Some(prefix("192.0.2.0", 24)));
        assert_eq!(found("198.51.100.1", false), Some(prefix("0.0.0.0", 0)));
        assert_eq!(found("192.0.2.1", true), None);
    }
}

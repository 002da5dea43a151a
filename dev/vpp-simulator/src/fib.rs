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
    /// Number of prefixes by family (IPv4 or not) and length.
    lengths: BTreeMap<(bool, u8), u32>,
    free: Vec<u32>,
    next: u32,
    /// Packets and bytes to the prefix of each route, by index.
    to: RouteFigures,
    /// Packets and bytes that the plugin sent through each route, by index.
    via: RouteFigures,
}

/// Packets and bytes by index of the route.
pub(crate) type RouteFigures = BTreeMap<u32, (u64, u64)>;

impl Fib {
    pub(crate) fn new() -> Self {
        let (to, via) = (RouteFigures::new(), RouteFigures::new());
        Self { routes: BTreeMap::new(), lengths: BTreeMap::new(), free: Vec::new(), next: FIRST_INDEX, to, via }
    }

    /// Adds `count` routes that match no address of a VIP or application server, before any other route.
    pub(crate) fn add_routes(&mut self, count: u32) {
        self.next += count;
    }

    /// Number of indexes in use.
    pub(crate) fn indexes(&self) -> u32 {
        self.next
    }

    /// Adds a reference to the route to `prefix`. Returns its index.
    pub(crate) fn acquire(&mut self, prefix: Prefix) -> u32 {
        let index = match self.routes.get(&prefix) {
            Some((index, _)) => *index,
            None => {
                let free = self.free.pop();
                self.allocate(free)
            }
        };
        let references = &mut self.routes.entry(prefix).or_insert((index, 0)).1;
        *references += 1;
        if *references == 1 {
            *self.lengths.entry(length(prefix)).or_default() += 1;
        }
        index
    }

    /// Takes a free index, or else a new one. The counters of an index start at 0.
    fn allocate(&mut self, free: Option<u32>) -> u32 {
        let index = free.unwrap_or(self.next);
        self.next = self.next.max(index + 1);
        self.to.insert(index, (0, 0));
        self.via.insert(index, (0, 0));
        index
    }

    /// Moves the route to a new index, as VPP may do when the route changes. The counters of the old index stay until it
    /// is used again. Returns the new index; `None` without such a route.
    pub(crate) fn restack(&mut self, prefix: Prefix) -> Option<u32> {
        let references = self.routes.get(&prefix)?.1;
        let new = self.allocate(None);
        let (old, _) = self.routes.insert(prefix, (new, references))?;
        self.free.push(old);
        Some(new)
    }

    /// Drops a reference to the route to `prefix`.
    pub(crate) fn release(&mut self, prefix: Prefix) {
        let Some(route) = self.routes.get_mut(&prefix) else { return };
        route.1 -= 1;
        if route.1 == 0 {
            self.free.push(route.0);
            self.routes.remove(&prefix);
            self.lengths.entry(length(prefix)).and_modify(|prefixes| *prefixes -= 1);
            self.lengths.retain(|_, prefixes| *prefixes > 0);
        }
    }

    /// Counts packets on the route to exactly `prefix`.
    pub(crate) fn count_to(&mut self, prefix: Prefix, packets: u64, bytes: u64) {
        if let Some((index, _)) = self.routes.get(&prefix) {
            count(&mut self.to, *index, packets, bytes);
        }
    }

    /// Counts a packet on the route with this index.
    pub(crate) fn count_to_index(&mut self, index: u32, bytes: u64) {
        count(&mut self.to, index, 1, bytes);
    }

    /// Counts packets that the plugin sends through the route with this index.
    pub(crate) fn count_via(&mut self, index: u32, packets: u64, bytes: u64) {
        count(&mut self.via, index, packets, bytes);
    }

    /// Sets the counters of all routes to 0, as `clear` commands of VPP's CLI do.
    pub(crate) fn clear_counters(&mut self) {
        self.to.values_mut().chain(self.via.values_mut()).for_each(|figures| *figures = (0, 0));
    }

    /// The traffic to the prefixes of all current and former routes.
    pub(crate) fn to(&self) -> &RouteFigures {
        &self.to
    }

    /// The traffic that the plugin sent through all current and former routes.
    pub(crate) fn via(&self) -> &RouteFigures {
        &self.via
    }

    /// The longest prefix with `address` and the index of its route; `None` if only the default route matches.
    pub(crate) fn longest(&self, address: IpAddr) -> Option<(Prefix, u32)> {
        let family = address.is_ipv4();
        let lengths = self.lengths.range((family, 0)..=(family, u8::MAX)).rev();
        let mut prefixes = lengths.filter_map(|((_, length), _)| Prefix::new(address, *length));
        prefixes.find_map(|prefix| self.routes.get(&prefix).map(|(index, _)| (prefix, *index)))
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

fn length(prefix: Prefix) -> (bool, u8) {
    (prefix.address().is_ipv4(), prefix.length())
}

fn count(figures: &mut RouteFigures, index: u32, packets: u64, bytes: u64) {
    let (all_packets, all_bytes) = figures.entry(index).or_default();
    (*all_packets, *all_bytes) = (*all_packets + packets, *all_bytes + bytes);
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

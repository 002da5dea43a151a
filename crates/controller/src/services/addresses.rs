//! The addresses that are in use, and the choice of an address for a Service that asks for none. Pure.
//!
//! Addresses in use are those of Frontends. Beside them stand the addresses that this leader has just given to a Service
//! whose Frontends it has not seen yet. An address that was in use and is free is given again only after all others, the
//! one that has been free for the longest time first; this order is lost with the leader.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use maglev_index::{AddressRange, AssignedNetwork};
use maglev_model::{
    Name,
    vip::{Family, Service},
};

/// Largest number of addresses that are remembered as free again.
const MAX_FREED: usize = 1 << 16;
/// Largest number of addresses, or networks of unusable addresses, that one search passes.
const MAX_STEPS: usize = 1 << 20;

/// The object because of which an address is in use.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Holder {
    /// A stored Frontend.
    Frontend(Name),
    /// A Service whose Frontends may not have been seen yet.
    Service(Name),
}

/// The use of an address by one holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The Service that the address was given to; `None` for a Frontend that was made by hand.
    pub service: Option<Name>,
    /// The traffic to the address; empty if unreadable.
    pub traffic: Vec<Service>,
}

impl Claim {
    /// True unless both claims are readable and differ in protocol and port.
    pub fn overlaps(&self, traffic: &[Service]) -> bool {
        let takes_all = |traffic: &[Service]| traffic.is_empty() || traffic.contains(&Service::AllPorts);
        takes_all(&self.traffic)
            || takes_all(traffic)
            || self.traffic.iter().any(|traffic_here| traffic.contains(traffic_here))
    }
}

/// All addresses in use.
#[derive(Debug, Default)]
pub struct AddressBook {
    claims: BTreeMap<IpAddr, BTreeMap<Holder, Claim>>,
    addresses: HashMap<Holder, Vec<IpAddr>>,
    freed: FreedAddresses,
    /// The last address of each range up to which no address was free and never given.
    passed: HashMap<AddressRange, IpAddr>,
    releases: u64,
}

impl AddressBook {
    /// Replaces the claims of `holder`.
    pub fn replace(&mut self, holder: &Holder, claims: Vec<(IpAddr, Claim)>) {
        let before = self.addresses.remove(holder).unwrap_or_default();
        let is_kept = |address: &IpAddr| claims.iter().any(|(kept, _)| kept == address);
        for address in before.into_iter().filter(|address| !is_kept(address)) {
            self.release(address, holder);
        }
        if claims.is_empty() {
            return;
        }
        self.addresses.insert(holder.clone(), claims.iter().map(|(address, _)| *address).collect());
        for (address, claim) in claims {
            self.freed.remove(address);
            let replaced = self.claims.entry(address).or_default().insert(holder.clone(), claim.clone());
            // Fewer ports make room for a Service that wants to share the address.
            self.releases += u64::from(replaced.is_some_and(|replaced| replaced != claim));
        }
    }

    fn release(&mut self, address: IpAddr, holder: &Holder) {
        let Some(claims) = self.claims.get_mut(&address) else { return };
        self.releases += u64::from(claims.remove(holder).is_some());
        if claims.is_empty() {
            self.claims.remove(&address);
            if self.freed.add(address) {
                self.passed.clear();
            }
        }
    }

    /// A number that changes when an address, or a part of its ports, becomes free.
    pub fn releases(&self) -> u64 {
        self.releases
    }

    /// The claims on `address` that are not of `service`.
    pub fn claims_of_others(&self, address: IpAddr, service: &Name) -> impl Iterator<Item = (&Holder, &Claim)> {
        let claims = self.claims.get(&address).into_iter().flatten();
        claims.filter(move |(_, claim)| claim.service.as_ref() != Some(service))
    }

    /// Searches from the start: other addresses may be usable now.
    pub fn forget_searches(&mut self) {
        self.passed.clear();
    }

    /// An address of `family` for a Service that asks for none: the first one of `networks` that was never in use, else
    /// the one that has been free for the longest time. `unusable_until` returns the last address of unusable ones.
    pub fn choose(
        &mut self,
        networks: &[AssignedNetwork],
        family: Family,
        unusable_until: impl Fn(IpAddr) -> Option<IpAddr>,
    ) -> Option<IpAddr> {
        let ranges = networks.iter().map(|network| network.range);
        let ranges: Vec<AddressRange> = ranges.filter(|range| range.is_ipv6() == (family == Family::V6)).collect();
        for range in &ranges {
            if let Some(address) = self.first_unused(*range, &unusable_until) {
                return Some(address);
            }
        }
        let is_usable = |address: &IpAddr| {
            ranges.iter().any(|range| range.contains(*address)) && unusable_until(*address).is_none()
        };
        self.freed.oldest_first().find(is_usable)
    }

    /// The first address of `range` that is usable and was never in use. Addresses in use are passed one by one, but each
    /// only once.
    fn first_unused(
        &mut self,
        range: AddressRange,
        unusable_until: &impl Fn(IpAddr) -> Option<IpAddr>,
    ) -> Option<IpAddr> {
        let mut next = match self.passed.get(&range) {
            Some(passed) => range.after(*passed)?,
            None => range.first(),
        };
        for _ in 0..MAX_STEPS {
            let is_given = self.claims.contains_key(&next) || self.freed.contains(next);
            let Some(passed) = (if is_given { Some(next) } else { unusable_until(next) }) else { return Some(next) };
            self.passed.insert(range, passed);
            next = range.after(passed)?;
        }
        None
    }
}

/// Addresses that were in use and are free, in the order in which they became free.
#[derive(Debug, Default)]
struct FreedAddresses {
    numbers: HashMap<IpAddr, u64>,
    order: BTreeMap<u64, IpAddr>,
    last: u64,
}

impl FreedAddresses {
    /// Adds an address. Returns true if another one had to be forgotten.
    fn add(&mut self, address: IpAddr) -> bool {
        self.remove(address);
        self.last += 1;
        self.numbers.insert(address, self.last);
        self.order.insert(self.last, address);
        let oldest = (self.order.len() > MAX_FREED).then(|| self.order.pop_first()).flatten();
        oldest.is_some_and(|(_, oldest)| self.numbers.remove(&oldest).is_some())
    }

    fn remove(&mut self, address: IpAddr) {
        if let Some(number) = self.numbers.remove(&address) {
            self.order.remove(&number);
        }
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.numbers.contains_key(&address)
    }

    fn oldest_first(&self) -> impl Iterator<Item = IpAddr> {
        self.order.values().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, collections::BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use maglev_model::vip::Protocol;

    fn service(name: &str) -> Holder {
        Holder::Service(Name::namespaced("shop", name))
    }

    fn claim(name: &str, ports: &[u16]) -> Claim {
        let traffic = |port: &u16| Service::Port { protocol: Protocol::Tcp, port: (*port).try_into().unwrap() };
        Claim { service: Some(Name::namespaced("shop", name)), traffic: ports.iter().map(traffic).collect() }
    }

    fn networks(networks: &[&str]) -> Vec<AssignedNetwork> {
        let network = |text: &&str| AssignedNetwork {
            policy: Name::cluster("pool"),
            range: AddressRange::assignable(text.parse().unwrap()),
        };
        networks.iter().map(network).collect()
    }

    /// Gives an address to the Service `name`.
    fn give(book: &mut AddressBook, pools: &[AssignedNetwork], name: &str) -> String {
        let Some(address) = book.choose(pools, Family::V4, |_| None) else { return "none".to_owned() };
        book.replace(&service(name), vec![(address, claim(name, &[80]))]);
        address.to_string()
    }

    #[test]
    fn networks_are_used_in_their_order_and_freed_addresses_last() {
        let (mut book, pools) = (AddressBook::default(), networks(&["203.0.113.8/30", "198.51.100.4/30"]));
        let given = ["a", "b", "c"].map(|name| give(&mut book, &pools, name));
        assert_eq!(given, ["203.0.113.9", "203.0.113.10", "198.51.100.5"]);
        for name in ["b", "a"] {
            book.replace(&service(name), Vec::new());
        }
        let given = ["d", "e", "f", "g"].map(|name| give(&mut book, &pools, name));
        assert_eq!(given, ["198.51.100.6", "203.0.113.10", "203.0.113.9", "none"]);
    }

    #[test]
    fn wide_networks_and_unusable_networks_are_not_enumerated() {
        let (mut book, pools) = (AddressBook::default(), networks(&["2001:db8::/64", "10.0.0.0/8"]));
        let steps = Cell::new(0);
        let unusable_until = |address: IpAddr| {
            steps.set(steps.get() + 1);
            match address {
                IpAddr::V6(v6) if v6.segments()[4] == 0 => "2001:db8::ffff:ffff:ffff".parse().ok(),
                IpAddr::V4(v4) if v4.octets()[1] == 0 => Some([10, 0, 255, 255].into()),
                _ => None,
            }
        };
        for (family, first) in [(Family::V6, "2001:db8:0:0:1::"), (Family::V4, "10.1.0.0")] {
            let address = book.choose(&pools, family, unusable_until).unwrap();
            assert_eq!(address.to_string(), first);
        }
        assert!(steps.get() < 16, "{} steps", steps.get());
        // 10,000 Services cost 10,000 steps, not 50 million.
        for number in 0..10_000 {
            let name = format!("s{number}");
            let address = book.choose(&pools, Family::V4, unusable_until).unwrap();
            book.replace(&service(&name), vec![(address, claim(&name, &[80]))]);
        }
        assert!(steps.get() < 100_000, "{} steps", steps.get());
    }

    #[test]
    fn claims_overlap_unless_ports_differ() {
        let own = claim("web", &[80, 443]);
        assert!(own.overlaps(&claim("b", &[443]).traffic) && !own.overlaps(&claim("b", &[81]).traffic));
        assert!(own.overlaps(&[]) && own.overlaps(&[Service::AllPorts]));
        assert!(claim("all", &[]).overlaps(&claim("b", &[81]).traffic));
    }

    #[test]
    fn address_is_free_after_its_last_claim() {
        let (mut book, pools) = (AddressBook::default(), networks(&["203.0.113.8/32"]));
        let address: IpAddr = "203.0.113.8".parse().unwrap();
        let frontend = Holder::Frontend(Name::namespaced("shop", "web-80-tcp"));
        book.replace(&service("web"), vec![(address, claim("web", &[80]))]);
        book.replace(&frontend, vec![(address, claim("web", &[80]))]);
        assert_eq!(book.claims_of_others(address, &Name::namespaced("shop", "web")).count(), 0);
        assert_eq!(book.claims_of_others(address, &Name::namespaced("shop", "other")).count(), 2);
        let before = book.releases();
        book.replace(&service("web"), Vec::new());
        assert_eq!(give(&mut book, &pools, "other"), "none", "the Frontend still has it");
        book.replace(&frontend, Vec::new());
        assert!(book.releases() > before);
        assert_eq!(give(&mut book, &pools, "other"), "203.0.113.8");
    }

    proptest! {
        /// No address is in two hands, a free address is found while there is one, and no freed address is given while
        /// one was never in use.
        #[test]
        fn choice_is_free_and_freed_addresses_are_last(operations in prop::collection::vec((0..12_u8, any::<bool>()), 1..200)) {
            let (mut book, pools) = (AddressBook::default(), networks(&["203.0.113.16/29", "203.0.113.8/31"]));
            let (mut held, mut used, mut freed) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
            for (number, gives) in operations {
                let name = format!("s{number}");
                if !gives {
                    book.replace(&service(&name), Vec::new());
                    freed.extend(held.remove(&name));
                    continue;
                }
                if held.contains_key(&name) {
                    continue;
                }
                let given = give(&mut book, &pools, &name);
                if given == "none" {
                    prop_assert_eq!(held.len(), 8);
                    continue;
                }
                prop_assert!(!held.values().any(|other| *other == given));
                if used.len() < 8 {
                    prop_assert!(used.insert(given.clone()), "{} was in use before", given);
                } else {
                    prop_assert_eq!(&freed.remove(0), &given);
                }
                held.insert(name, given);
            }
        }
    }
}

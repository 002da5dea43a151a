//! Ranges of addresses: those that a network has for Services, and the number of addresses in several ranges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Consecutive addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressRange {
    is_ipv6: bool,
    first: u128,
    last: u128,
}

impl AddressRange {
    /// All addresses of a network.
    pub fn all(network: IpNet) -> Self {
        Self { is_ipv6: network.addr().is_ipv6(), first: bits(network.network()), last: bits(network.broadcast()) }
    }

    /// The addresses of a network that are given to Services that ask for none: without the network and the broadcast
    /// address of an IPv4 network, and without the address of the routers of an IPv6 network (RFC 4291, section 2.6.1).
    pub fn assignable(network: IpNet) -> Self {
        let all = Self::all(network);
        match all.last - all.first {
            0 | 1 => all,
            _ if all.is_ipv6 => Self { first: all.first + 1, ..all },
            _ => Self { first: all.first + 1, last: all.last - 1, ..all },
        }
    }

    /// True for a range of IPv6 addresses.
    pub fn is_ipv6(self) -> bool {
        self.is_ipv6
    }

    /// The first address.
    pub fn first(self) -> IpAddr {
        address(self.is_ipv6, self.first)
    }

    /// The address after `before`; `None` if that is not in the range.
    pub fn after(self, before: IpAddr) -> Option<IpAddr> {
        let next = bits(before).checked_add(1)?;
        (before.is_ipv6() == self.is_ipv6 && (self.first..=self.last).contains(&next))
            .then(|| address(self.is_ipv6, next))
    }

    /// True if `address` is in the range.
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv6() == self.is_ipv6 && (self.first..=self.last).contains(&bits(address))
    }

    /// The parts of the range that are not in `other`.
    fn without(self, other: Self) -> impl Iterator<Item = Self> {
        let is_apart = self.is_ipv6 != other.is_ipv6 || other.last < self.first || self.last < other.first;
        let whole = is_apart.then_some(self);
        let before = (!is_apart && self.first < other.first).then(|| Self { last: other.first - 1, ..self });
        let after = (!is_apart && other.last < self.last).then(|| Self { first: other.last + 1, ..self });
        whole.into_iter().chain(before).chain(after)
    }
}

/// Ranges that do not overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRanges(Vec<AddressRange>);

impl AddressRanges {
    /// The addresses of `ranges` that are not in one of `except`.
    pub fn new(ranges: impl IntoIterator<Item = AddressRange>, except: &[AddressRange]) -> Self {
        let mut sorted: Vec<AddressRange> = ranges.into_iter().collect();
        sorted.sort();
        let mut merged: Vec<AddressRange> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match merged.last_mut().filter(|last| last.is_ipv6 == range.is_ipv6 && range.first <= last.last) {
                Some(last) => last.last = last.last.max(range.last),
                None => merged.push(range),
            }
        }
        let without = |left: Vec<AddressRange>, other: &AddressRange| -> Vec<AddressRange> {
            left.into_iter().flat_map(|range| range.without(*other)).collect()
        };
        Self(except.iter().fold(merged, without))
    }

    /// The number of addresses; `u128::MAX` also stands for more.
    pub fn size(&self) -> u128 {
        self.0.iter().fold(0, |size: u128, range| size.saturating_add((range.last - range.first).saturating_add(1)))
    }

    /// True if `address` is in one of the ranges.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(address))
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn address(is_ipv6: bool, bits: u128) -> IpAddr {
    match u32::try_from(bits) {
        Ok(bits) if !is_ipv6 => Ipv4Addr::from_bits(bits).into(),
        _ => Ipv6Addr::from_bits(bits).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignable(network: &str) -> (String, u128) {
        let range = AddressRange::assignable(network.parse().unwrap());
        (range.first().to_string(), AddressRanges::new([range], &[]).size())
    }

    #[test]
    fn network_and_broadcast_addresses_are_left_out() {
        for (network, first, size) in [
            ("203.0.113.0/26", "203.0.113.1", 62),
            ("203.0.113.4/30", "203.0.113.5", 2),
            ("203.0.113.4/31", "203.0.113.4", 2),
            ("203.0.113.4/32", "203.0.113.4", 1),
            ("0.0.0.0/0", "0.0.0.1", (1 << 32) - 2),
            ("2001:db8::/64", "2001:db8::1", (1 << 64) - 1),
            ("2001:db8::8/127", "2001:db8::8", 2),
            ("::/0", "::1", u128::MAX),
        ] {
            assert_eq!(assignable(network), (first.to_owned(), size), "{network}");
        }
        let all = AddressRange::all("203.0.113.0/30".parse().unwrap());
        assert!(all.contains("203.0.113.3".parse().unwrap()) && !all.contains("203.0.113.4".parse().unwrap()));
        assert!(!AddressRange::all("::/0".parse().unwrap()).contains("203.0.113.3".parse().unwrap()));
    }

    #[test]
    fn range_ends_with_its_last_address() {
        let range = AddressRange::assignable("203.0.113.4/30".parse().unwrap());
        let after = |address: &str| range.after(address.parse().unwrap()).map(|next| next.to_string());
        assert_eq!(after("203.0.113.5").as_deref(), Some("203.0.113.6"));
        assert_eq!((after("203.0.113.6"), after("2001:db8::1")), (None, None));
        let last = AddressRange::all("::/0".parse().unwrap());
        assert_eq!(last.after("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap()), None);
    }

    #[test]
    fn overlapping_and_excepted_addresses_count_once() {
        let size = |ranges: &[&str], except: &[&str]| {
            let all = |networks: &[&str]| -> Vec<AddressRange> {
                networks.iter().map(|network| AddressRange::all(network.parse().unwrap())).collect()
            };
            AddressRanges::new(all(ranges), &all(except)).size()
        };
        assert_eq!(size(&["10.0.0.0/24", "10.0.0.128/25", "10.0.1.0/24", "2001:db8::/120"], &[]), 768);
        assert_eq!(size(&["10.0.0.0/24"], &["10.0.0.0/32", "10.0.0.16/28", "10.0.0.192/26", "2001:db8::/32"]), 175);
        assert_eq!(size(&["10.0.0.0/24"], &["10.0.0.0/16"]), 0);
        let ranges = AddressRanges::new([AddressRange::all("10.0.0.0/24".parse().unwrap())], &[]);
        assert!(ranges.contains("10.0.0.255".parse().unwrap()) && !ranges.contains("10.0.1.0".parse().unwrap()));
    }
}

//! Addresses that no AddressPolicy allows by a network that contains them. Without an AddressPolicy, too, no Frontend and
//! no Backend may have them.
//!
//! The list is the same on every node and in the controller, except for the addresses of the own Node, to which only the
//! probes are refused.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;

/// Metadata services of clouds outside of the link-local networks.
const METADATA: [IpAddr; 5] = [
    // Azure.
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    // Alibaba Cloud.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Oracle Cloud.
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // AWS.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    // Google Cloud.
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// An entry of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The predicate of the message.
    pub what: &'static str,
    /// True if an AddressPolicy allows the address by naming exactly it.
    pub by_name: bool,
}

/// The configured part of the list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DenyList {
    /// True to allow loopback addresses (`--allow-loopback`).
    pub allow_loopback: bool,
    /// The source addresses of VPP, of all LoadBalancerConfigs.
    pub sources: BTreeSet<IpAddr>,
    /// `spec.neverAddresses` of all LoadBalancerConfigs.
    pub never: Vec<IpNet>,
}

impl DenyList {
    /// The entry for `address`; `None` if it is not in the list. Loopback addresses are refused when objects are read.
    pub fn entry(&self, address: IpAddr) -> Option<Denied> {
        let denied = |what| Some(Denied { what, by_name: true });
        if self.never.iter().any(|network| network.contains(&address)) {
            let what = "is in spec.neverAddresses of a LoadBalancerConfig";
            return Some(Denied { what, by_name: false });
        }
        if is_link_local(address) {
            return denied("is link-local, as the metadata services of clouds are");
        }
        if METADATA.contains(&address) {
            return denied("belongs to the metadata service of a cloud");
        }
        if self.sources.contains(&address) {
            return denied("is an address that VPP sends from");
        }
        let inside = IpAddr::V4(embedded(address)?);
        if inside.is_loopback() && !self.allow_loopback {
            return denied("contains a loopback address");
        }
        let entry = self.entry(inside)?;
        Some(Denied { what: "contains an IPv4 address that is not allowed", ..entry })
    }
}

impl DenyList {
    /// The last address of the denied network around `address`: `address` itself if no network is denied around it, and
    /// `None` if `address` is not denied.
    pub fn until(&self, address: IpAddr) -> Option<IpAddr> {
        self.entry(address)?;
        let link_local: [IpNet; 2] =
            [IpNet::new_assert([169, 254, 0, 0].into(), 16), IpNet::new_assert(FE80.into(), 10)];
        let around = self.never.iter().chain(&link_local).filter(|network| network.contains(&address));
        Some(around.map(IpNet::broadcast).max().unwrap_or(address))
    }
}

/// The first link-local address of IPv6.
const FE80: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);

/// True if `address` is one of `own`, or an IPv6 address that reaches it through NAT64 or 6to4.
pub fn reaches(address: IpAddr, own: &BTreeSet<IpAddr>) -> bool {
    own.contains(&address) || embedded(address).is_some_and(|inside| own.contains(&inside.into()))
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// The IPv4 address in an IPv6 address of NAT64 (RFC 6052 `64:ff9b::/96`, RFC 8215 `64:ff9b:1::/48` with the address in
/// the last 32 bits), 6to4 (RFC 3056), or with a mapped IPv4 address.
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let [a, b, c, d, .., y, z] = address.segments();
    let last = Ipv4Addr::from_bits(u32::from(y) << 16 | u32::from(z));
    match (a, b) {
        (0x64, 0xff9b) if c == 1 || address.segments()[2..6] == [0; 4] => Some(last),
        (0x2002, _) => Some(Ipv4Addr::from_bits(u32::from(b) << 16 | u32::from(c))),
        (0, 0) if c == 0 && d == 0 => address.to_ipv4_mapped(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_addresses_are_denied_in_every_form() {
        let list = DenyList {
            sources: ["192.0.2.1", "2001:db8::1"].map(|address| address.parse().unwrap()).into(),
            never: ["198.51.100.0/24", "2001:db8:dead::/48"].map(|network| network.parse().unwrap()).into(),
            ..DenyList::default()
        };
        for (address, by_name) in [
            ("169.254.169.254", true),
            ("fe80::1", true),
            ("168.63.129.16", true),
            ("100.100.100.200", true),
            ("192.0.0.192", true),
            ("fd00:ec2::254", true),
            ("fd20:ce::254", true),
            ("192.0.2.1", true),
            ("2001:db8::1", true),
            ("64:ff9b::a9fe:a9fe", true),
            ("64:ff9b::7f00:1", true),
            ("64:ff9b::c000:201", true),
            ("64:ff9b:1::a9fe:a9fe", true),
            ("2002:a9fe:a9fe::1", true),
            ("2002:7f00:1::", true),
            ("::ffff:169.254.169.254", true),
            ("198.51.100.9", false),
            ("2001:db8:dead::1", false),
            ("64:ff9b::c633:6409", false),
        ] {
            let entry = list.entry(address.parse().unwrap());
            assert_eq!(entry.map(|entry| entry.by_name), Some(by_name), "{address}");
        }
        for address in ["10.0.0.1", "203.0.113.1", "2001:db8::2", "64:ff9b::a00:1", "2002:a00:1::1", "fd00::1", "::1"] {
            assert_eq!(list.entry(address.parse().unwrap()), None, "{address}");
        }
        let sandbox = DenyList { allow_loopback: true, ..DenyList::default() };
        assert_eq!(sandbox.entry("64:ff9b::7f00:1".parse().unwrap()), None);
    }

    #[test]
    fn denied_networks_are_skipped_as_a_whole() {
        let never = ["198.51.100.0/24", "198.51.100.0/28", "2001:db8::/48"];
        let list = DenyList {
            never: never.map(|network| network.parse().unwrap()).into(),
            sources: ["192.0.2.1".parse().unwrap()].into(),
            ..DenyList::default()
        };
        let until = |address: &str| list.until(address.parse().unwrap()).map(|last| last.to_string());
        for (address, last) in [
            ("198.51.100.1", "198.51.100.255"),
            ("2001:db8::1", "2001:db8:0:ffff:ffff:ffff:ffff:ffff"),
            ("192.0.2.1", "192.0.2.1"),
            ("169.254.169.254", "169.254.255.255"),
            ("fe80::1", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            assert_eq!(until(address).as_deref(), Some(last), "{address}");
        }
        assert_eq!(until("192.0.2.2"), None);
    }

    #[test]
    fn own_address_is_reached_through_nat64() {
        let own = BTreeSet::from(["192.0.2.7".parse().unwrap()]);
        assert!(reaches("192.0.2.7".parse().unwrap(), &own) && reaches("64:ff9b::c000:207".parse().unwrap(), &own));
        assert!(!reaches("192.0.2.8".parse().unwrap(), &own));
    }
}

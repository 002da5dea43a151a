//! Prefixes and dumps of the lb plugin up to 26.06, as recorded.
//!
//! Called by `requests` for that release.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{prefix::Prefix, vip::Vip};
use maglev_model::actual::VppVip;
use maglev_vpp::{
    codec,
    messages::lb::{LbVipDetails, WireVip},
};

/// The prefix as the plugin interprets it: an IPv4 address is in the last 32 of 128 bits, and the length counts all 128 bits,
/// so `198.51.100.9/32` is `::/32`. `None` if the length is out of range.
pub fn prefix(sent: codec::Prefix) -> Option<Prefix> {
    let address = match sent.address {
        IpAddr::V4(address) => Ipv6Addr::from_bits(address.to_bits().into()),
        IpAddr::V6(address) => address,
    };
    let prefix = Prefix::new(address.into(), sent.length)?;
    match (low_bits(address), sent.length.checked_sub(96)) {
        (Some(address), Some(length)) => Prefix::new(address.into(), length),
        _ => Some(prefix),
    }
}

/// A VIP as identified in dumps: with the length as sent, and without protocol.
pub fn vip(id: VppVip) -> WireVip {
    let (address, length) = match id.address {
        IpAddr::V4(address) => (address.into(), id.length + 96),
        // Addresses with only zeros before the last 32 bits count as IPv4.
        IpAddr::V6(address) => (low_bits(address).map_or(address.into(), IpAddr::V4), id.length),
    };
    WireVip { prefix: codec::Prefix { address, length }, protocol: 0, port: id.port }
}

/// A dumped VIP: the internal type in place of the encap, and no table length.
pub fn vip_details(vip_entry: &Vip) -> LbVipDetails {
    LbVipDetails {
        vip: vip(vip_entry.id),
        encap: vip_entry.kind.number(),
        dscp: vip_entry.argument(),
        srv_type: u32::from(vip_entry.argument()) << 24,
        target_port: vip_entry.target_port().swap_bytes(),
        flow_table_length: 0,
    }
}

/// The last 32 bits as an IPv4 address, if all other bits are zero.
fn low_bits(address: Ipv6Addr) -> Option<Ipv4Addr> {
    u32::try_from(address.to_bits()).ok().map(Ipv4Addr::from_bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_length_counts_from_96() {
        let read = |address: &str, length| {
            prefix(codec::Prefix { address: address.parse().unwrap(), length }).map(|prefix| prefix.to_string())
        };
        assert_eq!(read("198.51.100.9", 32).as_deref(), Some("::/32"));
        assert_eq!(read("198.51.100.9", 128).as_deref(), Some("198.51.100.9/32"));
        assert_eq!(read("198.51.100.9", 120).as_deref(), Some("198.51.100.0/24"));
        assert_eq!(read("2001:db8::1", 128).as_deref(), Some("2001:db8::1/128"));
        assert_eq!(read("2001:db8::1", 129), None);
    }
}

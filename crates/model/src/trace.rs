//! The application server that VPP chooses for a new flow: its VIP, its bucket, and the content of the bucket.
//!
//! Computed from the VIPs and servers that a VPP has, without a packet. A flow that VPP tracks already keeps its server,
//! which can be another one.

use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::{
    actual::VppVip,
    flow_hash::{FlowHash, FlowKey},
    table,
    vip::Protocol,
};

/// A flow of a client. Both of its addresses have the same IP family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    protocol: Protocol,
    addresses: Addresses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Addresses {
    V4 { source: SocketAddrV4, destination: SocketAddrV4 },
    V6 { source: SocketAddrV6, destination: SocketAddrV6 },
}

/// The VIP of a flow in VPP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VipMatch {
    /// The VIP.
    Vip(VppVip),
    /// The VIPs on the destination, all for another protocol or port. VPP drops the packets.
    OtherPorts(Vec<VppVip>),
    /// No VIP has the destination: VPP routes the packets like any others.
    NoVip,
}

/// The choice for a new flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The hash of the flow.
    pub hash: u32,
    /// The bucket in the new-flow table.
    pub bucket: u32,
    /// The application server in the bucket; `None` if no server has a weight, so that VPP drops the packets.
    pub server: Option<IpAddr>,
}

impl Flow {
    /// Returns the flow if both addresses have the same family.
    pub fn new(protocol: Protocol, source: SocketAddr, destination: SocketAddr) -> Option<Self> {
        let addresses = match (source, destination) {
            (SocketAddr::V4(source), SocketAddr::V4(destination)) => Addresses::V4 { source, destination },
            (SocketAddr::V6(source), SocketAddr::V6(destination)) => Addresses::V6 { source, destination },
            _ => return None,
        };
        Some(Self { protocol, addresses })
    }

    /// The protocol.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The address and port of the client.
    pub fn source(&self) -> SocketAddr {
        match self.addresses {
            Addresses::V4 { source, .. } => source.into(),
            Addresses::V6 { source, .. } => source.into(),
        }
    }

    /// The address and port that the client connects to.
    pub fn destination(&self) -> SocketAddr {
        match self.addresses {
            Addresses::V4 { destination, .. } => destination.into(),
            Addresses::V6 { destination, .. } => destination.into(),
        }
    }

    /// The fields that VPP hashes. With `src_ip_sticky`, that is session affinity by client address, these are only the
    /// addresses.
    pub fn key(&self, src_ip_sticky: bool) -> FlowKey {
        let ports = u32::from(self.source().port()) << 16 | u32::from(self.destination().port());
        let ports = if src_ip_sticky { [0; 4] } else { ports.to_be_bytes() };
        match &self.addresses {
            Addresses::V4 { source, destination } => {
                let addresses = u64::from(source.ip().to_bits()) << 32 | u64::from(destination.ip().to_bits());
                FlowKey::v4(addresses.to_be_bytes(), ports)
            }
            Addresses::V6 { source, destination } => {
                let mut addresses = [0; 32];
                addresses[..16].copy_from_slice(&source.ip().octets());
                addresses[16..].copy_from_slice(&destination.ip().octets());
                FlowKey::v6(addresses, ports)
            }
        }
    }

    /// The VIP of the flow among those of a VPP: of the longest prefix with the destination, the VIP for protocol and
    /// port, or else that for all ports. VPP does not look further, so a VIP of a shorter prefix gets nothing.
    pub fn vip<'v>(&self, vips: impl IntoIterator<Item = &'v VppVip>) -> VipMatch {
        let destination = self.destination();
        let mut matching: Vec<VppVip> =
            vips.into_iter().filter(|vip| contains(vip, destination.ip())).copied().collect();
        let Some(longest) = matching.iter().map(|vip| vip.length).max() else { return VipMatch::NoVip };
        matching.retain(|vip| vip.length == longest);
        let find = |protocol, port| matching.iter().find(|vip| (vip.protocol, vip.port) == (protocol, port));
        match find(self.protocol.number(), destination.port()).or_else(|| find(255, 0)) {
            Some(vip) => VipMatch::Vip(*vip),
            None => VipMatch::OtherPorts(matching),
        }
    }
}

impl FlowKey {
    /// The choice of a VPP that has `servers` (address and weight) in a new-flow table of `length` buckets. `None` if
    /// `length` is not a power of two.
    pub fn choose(&self, function: FlowHash, length: u32, servers: &[(IpAddr, u8)]) -> Option<Choice> {
        let table = table::fill(length, servers);
        let hash = self.hash(function);
        let bucket = hash & length.wrapping_sub(1);
        let index = *table.get(bucket as usize)?;
        Some(Choice { hash, bucket, server: servers.get(index as usize).map(|(address, _)| *address) })
    }
}

/// True if the prefix of `vip` has `address`.
fn contains(vip: &VppVip, address: IpAddr) -> bool {
    let length = u32::from(vip.length);
    match (vip.address, address) {
        (IpAddr::V4(prefix), IpAddr::V4(address)) => {
            let difference = prefix.to_bits() ^ address.to_bits();
            difference.checked_shr(32u32.saturating_sub(length)).unwrap_or(0) == 0
        }
        (IpAddr::V6(prefix), IpAddr::V6(address)) => {
            let difference = prefix.to_bits() ^ address.to_bits();
            difference.checked_shr(128u32.saturating_sub(length)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(protocol: Protocol, destination: &str) -> Flow {
        let destination: SocketAddr = destination.parse().unwrap();
        let source = if destination.is_ipv4() { "198.51.100.7:40312" } else { "[2001:db8::7]:40312" };
        Flow::new(protocol, source.parse().unwrap(), destination).unwrap()
    }

    fn vip(address: &str, length: u8, protocol: u8, port: u16) -> VppVip {
        VppVip { address: address.parse().unwrap(), length, protocol, port }
    }

    #[test]
    fn flow_has_one_family() {
        let (v4, v6) = ("192.0.2.1:1".parse().unwrap(), "[::1]:1".parse().unwrap());
        assert_eq!(Flow::new(Protocol::Tcp, v4, v6), None);
        assert_eq!(Flow::new(Protocol::Tcp, v6, v4), None);
    }

    #[test]
    fn vip_has_the_longest_prefix_then_the_port_then_all_ports() {
        let (web, dns) = (vip("203.0.113.10", 32, 6, 80), vip("203.0.113.10", 32, 17, 53));
        let (all, network) = (vip("203.0.113.11", 32, 255, 0), vip("203.0.113.0", 24, 255, 0));
        let (v6, everything) = (vip("2001:db8:1::10", 128, 6, 80), vip("::", 0, 255, 0));
        let vips = [web, dns, all, network, v6, everything];
        for (protocol, destination, expected) in [
            (Protocol::Tcp, "203.0.113.10:80", VipMatch::Vip(web)),
            (Protocol::Udp, "203.0.113.10:53", VipMatch::Vip(dns)),
            (Protocol::Udp, "203.0.113.10:80", VipMatch::OtherPorts(vec![web, dns])),
            (Protocol::Tcp, "203.0.113.11:80", VipMatch::Vip(all)),
            (Protocol::Udp, "203.0.113.12:9", VipMatch::Vip(network)),
            (Protocol::Tcp, "203.0.114.10:80", VipMatch::NoVip),
            (Protocol::Tcp, "[2001:db8:1::10]:80", VipMatch::Vip(v6)),
            (Protocol::Tcp, "[2001:db8:1::11]:80", VipMatch::Vip(everything)),
        ] {
            assert_eq!(flow(protocol, destination).vip(&vips), expected, "{protocol:?} {destination}");
        }
    }

    #[test]
    fn choice_is_the_content_of_the_bucket() {
        let servers: Vec<(IpAddr, u8)> = (10..14).map(|last| ([192, 0, 2, last].into(), last)).collect();
        let key = flow(Protocol::Tcp, "203.0.113.10:80").key(false);
        let choice = key.choose(FlowHash::Crc32c, 1024, &servers).unwrap();
        assert_eq!((choice.hash, choice.bucket), (0xae2f_9b07, 0x307));
        let table = table::fill(1024, &servers);
        assert_eq!(choice.server, Some(servers[table[0x307] as usize].0));
        let drained: Vec<_> = servers.iter().map(|(address, _)| (*address, 0)).collect();
        assert_eq!(key.choose(FlowHash::Crc32c, 1024, &drained), Some(Choice { server: None, ..choice }));
        assert_eq!(key.choose(FlowHash::Crc32c, 1024, &[]), Some(Choice { server: None, ..choice }));
        for length in [0, 1000] {
            assert_eq!(key.choose(FlowHash::Crc32c, length, &servers), None, "{length}");
        }
    }
}

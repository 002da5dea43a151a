//! One packet after VPP's checks on input: the fields that decide on its way, and its hash.

use std::net::IpAddr;

use etherparse::{IpNumber, Ipv4Header, Ipv4HeaderSlice, Ipv6Header, Ipv6HeaderSlice, checksum::Sum16BitWords};
use maglev_model::flow_hash::{FlowHash, FlowKey};

/// A packet that VPP accepts (`ip4-input`, `ip6-input`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    /// The packet, without bytes after its end.
    pub bytes: &'a [u8],
    /// Length of the IP header, without extension headers of IPv6.
    pub header: usize,
    pub destination: IpAddr,
    pub protocol: u8,
    /// True for an IPv4 packet that must not be fragmented.
    pub dont_fragment: bool,
    /// For TCP and UDP, the four bytes after the IP header: source and destination port, or in a later fragment a part of
    /// the data. Otherwise 0.
    ports: [u8; 4],
}

impl<'a> Packet<'a> {
    /// `None` if VPP drops the packet, or answers with an ICMP error.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => Self::parse_v4(bytes),
            6 => Self::parse_v6(bytes),
            _ => None,
        }
    }

    fn parse_v4(bytes: &'a [u8]) -> Option<Self> {
        let ip = Ipv4HeaderSlice::from_slice(bytes).ok()?;
        let (header, length) = (ip.slice().len(), usize::from(ip.total_len()));
        let fits = header <= length && length <= bytes.len();
        let sum = Sum16BitWords::new().add_slice(ip.slice()).ones_complement();
        // VPP punts packets with options. A fragment with offset 1 could overwrite a part of the TCP header.
        let is_unusual = header != Ipv4Header::MIN_LEN || ip.fragments_offset().value() == 1;
        if !fits || sum != 0 || ip.ttl() == 0 || is_unusual {
            return None;
        }
        let bytes = &bytes[..length];
        Some(Self {
            bytes,
            header,
            destination: ip.destination_addr().into(),
            protocol: ip.protocol().0,
            dont_fragment: ip.dont_fragment(),
            ports: ports(ip.protocol(), bytes, header),
        })
    }

    fn parse_v6(bytes: &'a [u8]) -> Option<Self> {
        let ip = Ipv6HeaderSlice::from_slice(bytes).ok()?;
        let header = Ipv6Header::LEN;
        let bytes = bytes.get(..header + usize::from(ip.payload_length()))?;
        (ip.hop_limit() > 0).then_some(Self {
            bytes,
            header,
            destination: ip.destination_addr().into(),
            protocol: ip.next_header().0,
            dont_fragment: true,
            ports: ports(ip.next_header(), bytes, header),
        })
    }

    pub fn is_ipv4(&self) -> bool {
        self.destination.is_ipv4()
    }

    /// The port that selects a per-port VIP. 0 without ports.
    pub fn destination_port(&self) -> u16 {
        u16::from_be_bytes([self.ports[2], self.ports[3]])
    }

    /// The hash of the flow on a machine with CRC instructions. With `src_ip_sticky`, addresses are hashed without ports.
    pub fn hash(&self, src_ip_sticky: bool) -> u32 {
        let ports = if src_ip_sticky { [0; 4] } else { self.ports };
        let key = if self.is_ipv4() {
            FlowKey::v4(self.bytes[12..20].try_into().expect("two IPv4 addresses are 8 bytes"), ports)
        } else {
            FlowKey::v6(self.bytes[8..40].try_into().expect("two IPv6 addresses are 32 bytes"), ports)
        };
        key.hash(FlowHash::Crc32c)
    }
}

fn ports(protocol: IpNumber, bytes: &[u8], at: usize) -> [u8; 4] {
    let has_ports = [IpNumber::TCP, IpNumber::UDP].contains(&protocol);
    let ports = bytes.get(at..at + 4).filter(|_| has_ports);
    ports.and_then(|ports| ports.try_into().ok()).unwrap_or_default()
}

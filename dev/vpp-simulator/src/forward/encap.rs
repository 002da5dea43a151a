//! The packet that VPP sends to an application server: with a GRE header, or with another destination.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{IpNumber, Ipv4Header, Ipv6Header, checksum::Sum16BitWords};

use super::packet::Packet;

/// TTL and hop limit of the outer header.
const HOPS: u8 = 128;
/// EtherTypes in the GRE header.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// Length of a GRE header without key and checksum.
const GRE: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encap {
    Gre4 {
        source: Ipv4Addr,
        destination: Ipv4Addr,
    },
    Gre6 {
        source: Ipv6Addr,
        destination: Ipv6Addr,
    },
    /// Layer 3 direct server return, of IPv4 only.
    L3dsr {
        destination: Ipv4Addr,
        dscp: u8,
    },
}

impl Encap {
    /// Length of the result. More than 65,535 cannot be sent.
    pub fn length(self, packet: &Packet<'_>) -> usize {
        let inner = packet.bytes.len();
        match self {
            Self::Gre4 { .. } => Ipv4Header::MIN_LEN + GRE + inner,
            Self::Gre6 { .. } => Ipv6Header::LEN + GRE + inner,
            Self::L3dsr { .. } => inner,
        }
    }

    /// Replaces the content of `out` with the result, which must not be longer than 65,535 bytes.
    pub fn write(self, packet: &Packet<'_>, out: &mut Vec<u8>) {
        out.clear();
        let length = u16::try_from(self.length(packet)).expect("longer packets are dropped");
        match self {
            Self::Gre4 { source, destination } => {
                let mut header = Ipv4Header {
                    total_len: length,
                    time_to_live: HOPS,
                    protocol: IpNumber::GRE,
                    source: source.octets(),
                    destination: destination.octets(),
                    // VPP clears all flags.
                    dont_fragment: false,
                    ..Ipv4Header::default()
                };
                header.header_checksum = header.calc_header_checksum();
                out.extend_from_slice(&header.to_bytes());
                write_gre(packet, out);
            }
            Self::Gre6 { source, destination } => {
                let header = Ipv6Header {
                    payload_length: length - Ipv6Header::LEN as u16,
                    next_header: IpNumber::GRE,
                    hop_limit: HOPS,
                    source: source.octets(),
                    destination: destination.octets(),
                    ..Ipv6Header::default()
                };
                out.extend_from_slice(&header.to_bytes());
                write_gre(packet, out);
            }
            Self::L3dsr { destination, dscp } => {
                out.extend_from_slice(packet.bytes);
                rewrite(out, packet, destination, dscp);
            }
        }
    }
}

/// Appends a GRE header without flags, and the packet.
fn write_gre(packet: &Packet<'_>, out: &mut Vec<u8>) {
    let ether_type = if packet.is_ipv4() { IPV4 } else { IPV6 };
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&ether_type.to_be_bytes());
    out.extend_from_slice(packet.bytes);
}

/// Sets destination, DSCP (with ECN 0) and both checksums in `bytes`, a copy of `packet`. VPP computes the checksum of TCP
/// and UDP again for the new destination, also in fragments, whose data is damaged thereby.
fn rewrite(bytes: &mut [u8], packet: &Packet<'_>, destination: Ipv4Addr, dscp: u8) {
    bytes[1] = dscp << 2;
    bytes[16..20].copy_from_slice(&destination.octets());
    bytes[10..12].fill(0);
    let sum = Sum16BitWords::new().add_slice(&bytes[..packet.header]).ones_complement();
    bytes[10..12].copy_from_slice(&sum.to_ne_bytes());
    let (header, payload) = bytes.split_at_mut(packet.header);
    let offset = match IpNumber(packet.protocol) {
        IpNumber::TCP => 16,
        IpNumber::UDP => 6,
        _ => return,
    };
    let length = (payload.len() as u16).to_be_bytes();
    let Some(checksum) = payload.get_mut(offset..offset + 2) else { return };
    checksum.fill(0);
    let pseudo_header =
        Sum16BitWords::new().add_slice(&header[12..20]).add_2bytes([0, packet.protocol]).add_2bytes(length);
    let sum = pseudo_header.add_slice(payload).ones_complement();
    payload[offset..offset + 2].copy_from_slice(&sum.to_ne_bytes());
}

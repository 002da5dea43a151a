//! Headers of packets: addresses, the hash of a flow, and the packet inside GRE or L3DSR.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use etherparse::{
    IpDscp, IpNumber, IpSlice, Ipv4HeaderSlice, SlicedPacket, checksum::Sum16BitWords, defrag::IpDefragPool,
};

/// Time for which a backend keeps the fragments of an incomplete packet.
const KEEP_FRAGMENTS: Duration = Duration::from_secs(1);
/// GRE without checksum, key and sequence number.
const GRE_HEADER: usize = 4;

/// The destination of a packet; `None` if its header is invalid.
pub fn destination(packet: &[u8]) -> Option<IpAddr> {
    IpSlice::from_slice(packet).ok().map(|ip| ip.destination_addr())
}

/// A hash of addresses, protocol and ports, as a router uses for ECMP. Fragments have no ports.
pub fn flow_hash(packet: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let Ok(ip) = IpSlice::from_slice(packet) {
        let payload = ip.payload();
        (ip.source_addr(), ip.destination_addr(), payload.ip_number.0).hash(&mut hasher);
        let has_ports = matches!(payload.ip_number, IpNumber::TCP | IpNumber::UDP) && !payload.fragmented;
        if let Some(ports) = payload.payload.first_chunk::<4>().filter(|_| has_ports) {
            ports.hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Unwraps packets that a VPP has sent to one backend, as the backend's network stack would.
#[derive(Debug)]
pub struct Decapsulator {
    fragments: IpDefragPool<Instant>,
}

impl Decapsulator {
    pub fn new() -> Self {
        Self { fragments: IpDefragPool::new() }
    }

    /// The packet to the VIP inside `packet`. `vip` returns the VIP's address for a DSCP. Returns `None` for a packet without
    /// GRE and L3DSR, and for a fragment that does not complete its packet.
    pub fn decapsulate(&mut self, packet: &[u8], vip: impl Fn(u8) -> Option<Ipv4Addr>) -> Option<Vec<u8>> {
        let ip = IpSlice::from_slice(packet).ok()?;
        let payload = ip.payload();
        if payload.fragmented {
            return self.reassemble(packet);
        }
        inside_gre(payload.ip_number, payload.payload).or_else(|| restore_vip(packet, vip))
    }

    fn reassemble(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let now = Instant::now();
        self.fragments.retain(|arrived| now.duration_since(*arrived) < KEEP_FRAGMENTS);
        let fragment = SlicedPacket::from_ip(packet).ok()?;
        let complete = self.fragments.process_sliced_packet(&fragment, now, ()).ok()??;
        let inner = inside_gre(complete.ip_number, &complete.payload);
        self.fragments.return_buf(complete);
        inner
    }
}

/// The packet inside GRE; `None` for another protocol or header.
pub fn inside_gre(number: IpNumber, payload: &[u8]) -> Option<Vec<u8>> {
    let (header, inner) = payload.split_at_checked(GRE_HEADER)?;
    let carries_ip = matches!(header, [0, 0, 0x08, 0x00] | [0, 0, 0x86, 0xdd]);
    (number == IpNumber::GRE && carries_ip).then(|| inner.to_vec())
}

/// Replaces the destination by the VIP of the DSCP.
fn restore_vip(packet: &[u8], vip: impl Fn(u8) -> Option<Ipv4Addr>) -> Option<Vec<u8>> {
    let slice = Ipv4HeaderSlice::from_slice(packet).ok()?;
    let mut header = slice.to_header();
    let server = header.destination;
    header.destination = vip(header.dscp.value())?.octets();
    header.dscp = IpDscp::ZERO;
    let mut restored = Vec::with_capacity(packet.len());
    header.write(&mut restored).ok()?;
    restored.extend_from_slice(&packet[slice.slice().len()..]);
    let position = match header.protocol {
        IpNumber::TCP => 16,
        IpNumber::UDP => 6,
        _ => return Some(restored),
    };
    let payload = restored.get_mut(slice.slice().len()..)?;
    let checksum = payload.get_mut(position..)?.first_chunk_mut::<2>()?;
    // UDP without a checksum.
    if *checksum != [0, 0] {
        *checksum = replaced(*checksum, server, header.destination);
    }
    Some(restored)
}

/// The checksum of TCP or UDP after the replacement of an address (RFC 1624). VPP's checksum is that for the server.
pub fn replaced(checksum: [u8; 2], old: [u8; 4], new: [u8; 4]) -> [u8; 2] {
    Sum16BitWords::new()
        .add_2bytes(checksum.map(|byte| !byte))
        .add_4bytes(old.map(|byte| !byte))
        .add_4bytes(new)
        .ones_complement()
        .to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    const CLIENT: [u8; 4] = [198, 51, 100, 1];
    const VIP: [u8; 4] = [203, 0, 113, 10];
    const SERVER: [u8; 4] = [127, 0, 2, 1];

    fn udp(destination: [u8; 4], source_port: u16, payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        PacketBuilder::ipv4(CLIENT, destination, 64).udp(source_port, 53).write(&mut packet, payload).unwrap();
        packet
    }

    fn gre(inner: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        let payload = [&[0, 0, 0x08, 0x00][..], inner].concat();
        PacketBuilder::ipv4(CLIENT, SERVER, 128).write(&mut packet, IpNumber::GRE, &payload).unwrap();
        packet
    }

    /// The two fragments of a packet, of which the first carries `length` bytes.
    fn fragments(packet: &[u8], length: usize) -> [Vec<u8>; 2] {
        let header = Ipv4HeaderSlice::from_slice(packet).unwrap().to_header();
        let (first, second) = packet[header.header_len()..].split_at(length);
        let fragment = |more_fragments, offset: usize, payload: &[u8]| {
            let mut header = header.clone();
            header.more_fragments = more_fragments;
            header.fragment_offset = u16::try_from(offset / 8).unwrap().try_into().unwrap();
            header.set_payload_len(payload.len()).unwrap();
            let mut packet = Vec::new();
            header.write(&mut packet).unwrap();
            [packet, payload.to_vec()].concat()
        };
        [fragment(true, 0, first), fragment(false, length, second)]
    }

    #[test]
    fn flows_have_hashes_of_addresses_and_ports() {
        assert_eq!(flow_hash(&udp(VIP, 1000, b"a")), flow_hash(&udp(VIP, 1000, b"bc")));
        assert_ne!(flow_hash(&udp(VIP, 1000, b"a")), flow_hash(&udp(VIP, 1001, b"a")));
        assert_ne!(flow_hash(&udp(VIP, 1000, b"a")), flow_hash(&udp(SERVER, 1000, b"a")));
        assert_eq!(destination(&udp(VIP, 1000, b"a")), Some(VIP.into()));
        assert_eq!((destination(b""), destination(&[0x45; 19])), (None, None));
    }

    #[test]
    fn packets_in_gre_are_unwrapped_also_from_fragments() {
        let (inner, mut decapsulator) = (udp(VIP, 1000, &[7; 64]), Decapsulator::new());
        assert_eq!(decapsulator.decapsulate(&gre(&inner), |_| None), Some(inner.clone()));
        let [first, second] = fragments(&gre(&inner), 40);
        assert_eq!(decapsulator.decapsulate(&first, |_| None), None);
        assert_eq!(decapsulator.decapsulate(&second, |_| None), Some(inner.clone()));
        assert_eq!(decapsulator.decapsulate(&inner, |_| None), None);
    }

    #[test]
    fn dscp_of_l3dsr_becomes_the_vip_again() {
        let mut sent = udp(SERVER, 1000, b"abc");
        sent[1] = 7 << 2;
        let vip = |dscp: u8| (dscp == 7).then(|| Ipv4Addr::from(VIP));
        let restored = Decapsulator::new().decapsulate(&sent, vip).unwrap();
        let header = Ipv4HeaderSlice::from_slice(&restored).unwrap().to_header();
        assert_eq!((header.destination, header.dscp.value()), (VIP, 0));
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        // As if the client's packet had arrived unchanged.
        assert_eq!(restored[20..], udp(VIP, 1000, b"abc")[20..]);
        assert_eq!(Decapsulator::new().decapsulate(&udp(SERVER, 1000, b"abc"), vip), None);
    }
}

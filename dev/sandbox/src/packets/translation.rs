//! Translation of the addresses and ports of IPv4 packets, as a Service proxy does it.

use std::net::SocketAddrV4;

use etherparse::{IpNumber, Ipv4HeaderSlice};

use super::header::replaced;

/// Position of the checksum in the IPv4 header.
const HEADER_CHECKSUM: usize = 10;
/// Position of the flags in the TCP header.
const TCP_FLAGS: usize = 13;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// The addresses and ports of a TCP or UDP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// IP protocol number.
    pub protocol: u8,
    pub source: SocketAddrV4,
    pub destination: SocketAddrV4,
    /// True for the first packet of a TCP connection.
    pub opens: bool,
    /// True for a packet that ends a TCP connection or one direction of it.
    pub closes: bool,
}

/// The end of a packet that is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Source,
    Destination,
}

/// `None` for fragments, which have no ports, for other protocols, and for IPv6.
pub fn endpoints(packet: &[u8]) -> Option<Endpoints> {
    let header = Ipv4HeaderSlice::from_slice(packet).ok().filter(|header| !header.is_fragmenting_payload())?;
    let payload = packet.get(header.slice().len()..)?;
    let port = |position: usize| Some(u16::from_be_bytes(*payload.get(position..)?.first_chunk()?));
    let flags = match header.protocol() {
        IpNumber::TCP => *payload.get(TCP_FLAGS)?,
        IpNumber::UDP => 0,
        _ => return None,
    };
    Some(Endpoints {
        protocol: header.protocol().0,
        source: SocketAddrV4::new(header.source_addr(), port(0)?),
        destination: SocketAddrV4::new(header.destination_addr(), port(2)?),
        opens: flags & (SYN | ACK) == SYN,
        closes: flags & (FIN | RST) != 0,
    })
}

/// The TCP or UDP packet with another address and port at one end, and the checksums for them.
pub fn translated(packet: &[u8], end: End, to: SocketAddrV4) -> Option<Vec<u8>> {
    let header = Ipv4HeaderSlice::from_slice(packet).ok()?;
    let (start, protocol) = (header.slice().len(), header.protocol());
    let (address, port) = match end {
        End::Source => (12, start),
        End::Destination => (16, start + 2),
    };
    let checksum = start
        + match protocol {
            IpNumber::TCP => 16,
            IpNumber::UDP => 6,
            _ => return None,
        };
    let mut packet = packet.to_vec();
    let old_address = std::mem::replace(packet.get_mut(address..)?.first_chunk_mut::<4>()?, to.ip().octets());
    let old_port = std::mem::replace(packet.get_mut(port..)?.first_chunk_mut::<2>()?, to.port().to_be_bytes());
    let of_header = packet.get_mut(HEADER_CHECKSUM..)?.first_chunk_mut::<2>()?;
    *of_header = replaced(*of_header, old_address, to.ip().octets());
    let of_payload = packet.get_mut(checksum..)?.first_chunk_mut::<2>()?;
    // UDP without a checksum.
    if protocol == IpNumber::UDP && *of_payload == [0, 0] {
        return Some(packet);
    }
    let with_address = replaced(*of_payload, old_address, to.ip().octets());
    *of_payload = replaced(with_address, padded(old_port), padded(to.port().to_be_bytes()));
    if protocol == IpNumber::UDP && *of_payload == [0, 0] {
        // The same number; zero means no checksum.
        *of_payload = [0xff, 0xff];
    }
    Some(packet)
}

fn padded([high, low]: [u8; 2]) -> [u8; 4] {
    [0, 0, high, low]
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    fn address(text: &str) -> SocketAddrV4 {
        text.parse().unwrap()
    }

    fn tcp(source: &str, destination: &str) -> Vec<u8> {
        let (source, destination) = (address(source), address(destination));
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv4(source.ip().octets(), destination.ip().octets(), 64);
        builder.tcp(source.port(), destination.port(), 7, 100).syn().write(&mut packet, b"abc").unwrap();
        packet
    }

    fn udp(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
        let (source, destination) = (address(source), address(destination));
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv4(source.ip().octets(), destination.ip().octets(), 64);
        builder.udp(source.port(), destination.port()).write(&mut packet, payload).unwrap();
        packet
    }

    #[test]
    fn translated_packets_are_those_of_the_new_end() {
        let (client, vip, pod) = ("198.51.100.1:40000", "203.0.113.10:80", "10.244.1.2:8080");
        let there = translated(&tcp(client, vip), End::Destination, address(pod)).unwrap();
        assert_eq!(there, tcp(client, pod));
        assert_eq!(translated(&tcp(pod, client), End::Source, address(vip)).unwrap(), tcp(vip, client));
        for length in 0..64 {
            let payload = vec![length; usize::from(length)];
            let there = translated(&udp(client, vip, &payload), End::Destination, address(pod)).unwrap();
            assert_eq!(there, udp(client, pod, &payload));
        }
    }

    #[test]
    fn udp_without_a_checksum_stays_without_one() {
        let mut packet = udp("198.51.100.1:40000", "203.0.113.10:53", b"abc");
        packet[26..28].fill(0);
        let there = translated(&packet, End::Destination, address("10.244.1.2:5353")).unwrap();
        assert_eq!(there[26..28], [0, 0]);
    }

    #[test]
    fn only_whole_packets_have_endpoints() {
        let packet = tcp("198.51.100.1:40000", "203.0.113.10:80");
        let read = endpoints(&packet).unwrap();
        assert_eq!((read.source, read.destination), (address("198.51.100.1:40000"), address("203.0.113.10:80")));
        assert!(read.opens && !read.closes);
        let mut answer = packet.clone();
        answer[20 + TCP_FLAGS] = SYN | ACK;
        assert!(!endpoints(&answer).unwrap().opens);
        answer[20 + TCP_FLAGS] = RST;
        assert!(endpoints(&answer).unwrap().closes);
        for length in 0..34 {
            assert_eq!(endpoints(&packet[..length]), None, "{length} bytes");
            assert_eq!(translated(&packet[..length], End::Source, address("192.0.2.1:1")), None, "{length} bytes");
        }
        let mut fragment = packet;
        // The second fragment.
        fragment[7] = 1;
        assert_eq!(endpoints(&fragment), None);
    }
}

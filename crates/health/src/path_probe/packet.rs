//! Encodes the probe's packets, and decodes the replies.
//!
//! ```text
//! outer IPv4 or IPv6 (by the kernel) │ GRE (4 bytes) │ inner IPv4 or IPv6 │ TCP SYN with MSS, or RST │ zeros
//! ```

use std::net::{IpAddr, SocketAddr};

use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader, TcpOptionElement, TcpSlice};

use maglev_model::vip::Family;

/// Time to live of inner packets.
const HOP_LIMIT: u8 = 64;
/// Receive window of a SYN.
const WINDOW: u16 = 0xffff;
/// Segment size that a SYN announces. No data follows, so its value does not matter.
const ANNOUNCED_MSS: u16 = 1460;
/// Length of the TCP header of a SYN: 20 bytes and the option MSS.
const SYN_HEADER: usize = 24;

/// The connection that a probe begins, and the backend that its packets are sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The end of the tunnel.
    pub backend: IpAddr,
    /// This node's address of the VIP's family, and the reserved port.
    pub source: SocketAddr,
    /// The VIP and its port.
    pub vip: SocketAddr,
}

/// The length of an IP header without options.
pub fn ip_header(family: Family) -> u16 {
    match family {
        Family::V4 => 20,
        Family::V6 => 40,
    }
}

/// A SYN with sequence number `sequence` behind a GRE header. The SYN carries data, which a server discards, until the
/// inner packet has `size` bytes.
///
/// A SYN with data needs no connection, and passes stateful packet filters, unlike a segment without a connection.
pub fn syn(flow: &Flow, sequence: u32, size: Option<u16>) -> Vec<u8> {
    let tcp = inner(flow)
        .tcp(flow.source.port(), flow.vip.port(), sequence, WINDOW)
        .syn()
        .options(&[TcpOptionElement::MaximumSegmentSize(ANNOUNCED_MSS)])
        .expect("one option fits");
    encapsulated(flow, tcp, &vec![0; data_length(flow, size)])
}

/// The number of bytes of data in a SYN of `size` bytes.
pub fn data_length(flow: &Flow, size: Option<u16>) -> usize {
    let headers = usize::from(ip_header(Family::from_address(flow.vip.ip()))) + SYN_HEADER;
    size.map_or(0, |size| usize::from(size).saturating_sub(headers))
}

/// A reset that closes the connection that the SYN-ACK acknowledging `sequence` opened, behind a GRE header.
pub fn reset(flow: &Flow, sequence: u32) -> Vec<u8> {
    let tcp = inner(flow).tcp(flow.source.port(), flow.vip.port(), sequence, 0).rst();
    encapsulated(flow, tcp, &[])
}

fn inner(flow: &Flow) -> PacketBuilderStep<etherparse::IpHeaders> {
    match (flow.source.ip(), flow.vip.ip()) {
        (IpAddr::V4(source), IpAddr::V4(vip)) => PacketBuilder::ipv4(source.octets(), vip.octets(), HOP_LIMIT),
        (source, vip) => {
            let octets = |address| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            };
            PacketBuilder::ipv6(octets(source), octets(vip), HOP_LIMIT)
        }
    }
}

fn encapsulated(flow: &Flow, tcp: PacketBuilderStep<TcpHeader>, data: &[u8]) -> Vec<u8> {
    let protocol: u16 = if flow.vip.is_ipv4() { 0x0800 } else { 0x86dd };
    let mut packet = vec![0, 0];
    packet.extend(protocol.to_be_bytes());
    tcp.write(&mut packet, data).expect("writing to memory does not fail, and a packet is shorter than 64 KiB");
    packet
}

/// The answer to a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// SYN-ACK. `mss` is the segment size that the server announces.
    Accepted { mss: Option<u16> },
    /// RST.
    Refused,
}

/// A received answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The source port, which is the port of the VIP.
    pub vip_port: u16,
    /// The destination port, which is the reserved port.
    pub port: u16,
    /// The acknowledged sequence number: that after the SYN and the accepted data.
    pub acknowledged: u32,
    pub answer: Answer,
}

/// Decodes what a raw socket for TCP received; `None` unless it is an answer to a SYN. IPv4 sockets receive the IP header.
pub fn reply(family: Family, packet: &[u8]) -> Option<Reply> {
    let segment = match family {
        Family::V4 => packet.get(usize::from(packet.first()? & 0xf) * 4..)?,
        Family::V6 => packet,
    };
    let tcp = TcpSlice::from_slice(segment).ok()?;
    if !tcp.ack() || tcp.syn() == tcp.rst() {
        return None;
    }
    let answer = if tcp.rst() { Answer::Refused } else { Answer::Accepted { mss: announced_mss(&tcp) } };
    Some(Reply {
        vip_port: tcp.source_port(),
        port: tcp.destination_port(),
        acknowledged: tcp.acknowledgment_number(),
        answer,
    })
}

fn announced_mss(tcp: &TcpSlice<'_>) -> Option<u16> {
    tcp.options_iterator().find_map(|option| match option {
        Ok(TcpOptionElement::MaximumSegmentSize(mss)) => Some(mss),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};
    use proptest::prelude::*;

    use super::*;

    fn flow(backend: &str, source: &str, vip: &str) -> Flow {
        Flow { backend: backend.parse().unwrap(), source: source.parse().unwrap(), vip: vip.parse().unwrap() }
    }

    fn v4() -> Flow {
        flow("10.0.0.1", "192.0.2.1:40000", "203.0.113.10:443")
    }

    fn v6() -> Flow {
        flow("10.0.0.1", "[2001:db8::1]:40000", "[2001:db8::a]:443")
    }

    /// The packet behind the GRE header, with valid checksums.
    fn decapsulated(packet: &[u8]) -> SlicedPacket<'_> {
        let sliced = SlicedPacket::from_ip(&packet[4..]).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { panic!("{sliced:?}") };
        let checksum = match &sliced.net {
            Some(NetSlice::Ipv4(ip)) => {
                assert_eq!(ip.header().header_checksum(), ip.header().to_header().calc_header_checksum());
                assert!(ip.header().dont_fragment(), "clients' packets must not be fragmented inside the tunnel");
                tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination())
            }
            Some(NetSlice::Ipv6(ip)) => tcp.calc_checksum_ipv6(ip.header().source(), ip.header().destination()),
            other => panic!("{other:?}"),
        };
        assert_eq!(tcp.checksum(), checksum.unwrap());
        sliced
    }

    fn tcp<'a>(sliced: &'a SlicedPacket<'a>) -> &'a TcpSlice<'a> {
        match &sliced.transport {
            Some(TransportSlice::Tcp(tcp)) => tcp,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn syn_has_gre_header_addresses_ports_and_mss() {
        for (flow, protocol) in [(v4(), [0x08, 0x00]), (v6(), [0x86, 0xdd])] {
            let packet = syn(&flow, 7, None);
            assert_eq!(packet[..4], [0, 0, protocol[0], protocol[1]]);
            let sliced = decapsulated(&packet);
            let (source, destination) = match sliced.net.as_ref().unwrap() {
                NetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
                NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
                NetSlice::Arp(_) => panic!("ARP"),
            };
            let tcp = tcp(&sliced);
            assert_eq!((SocketAddr::new(source, tcp.source_port())), flow.source);
            assert_eq!((SocketAddr::new(destination, tcp.destination_port())), flow.vip);
            assert_eq!((tcp.syn(), tcp.ack(), tcp.rst(), tcp.sequence_number()), (true, false, false, 7));
            assert_eq!(announced_mss(tcp), Some(ANNOUNCED_MSS));
            assert!(tcp.payload().is_empty());
        }
    }

    #[test]
    fn large_syn_has_the_requested_size() {
        for flow in [v4(), v6()] {
            let packet = syn(&flow, 7, Some(1456));
            assert_eq!(packet.len(), 4 + 1456);
            let sliced = decapsulated(&packet);
            assert_eq!(tcp(&sliced).payload().len(), data_length(&flow, Some(1456)));
            assert_eq!(data_length(&flow, Some(10)), 0, "smaller than the headers");
        }
    }

    #[test]
    fn reset_closes_what_the_syn_ack_opened() {
        for flow in [v4(), v6()] {
            let packet = reset(&flow, 8);
            let sliced = decapsulated(&packet);
            let tcp = tcp(&sliced);
            assert_eq!((tcp.rst(), tcp.syn(), tcp.ack(), tcp.sequence_number()), (true, false, false, 8));
        }
    }

    /// A segment from the VIP, with the IP header that a raw socket of the family delivers.
    fn segment(
        family: Family,
        build: impl FnOnce(PacketBuilderStep<TcpHeader>) -> PacketBuilderStep<TcpHeader>,
    ) -> Vec<u8> {
        let step = match family {
            Family::V4 => PacketBuilder::ipv4([203, 0, 113, 10], [192, 0, 2, 1], 64).tcp(443, 40000, 99, 1000),
            Family::V6 => PacketBuilder::ipv6([1; 16], [2; 16], 64).tcp(443, 40000, 99, 1000),
        };
        let mut packet = Vec::new();
        build(step).write(&mut packet, &[]).unwrap();
        if family == Family::V6 { packet.split_off(40) } else { packet }
    }

    #[test]
    fn only_answers_to_a_syn_are_decoded() {
        for family in [Family::V4, Family::V6] {
            let expected = |answer| Some(Reply { vip_port: 443, port: 40000, acknowledged: 8, answer });
            let mss = [TcpOptionElement::Noop, TcpOptionElement::MaximumSegmentSize(1396)];
            let accepted = segment(family, |tcp| tcp.syn().ack(8).options(&mss).unwrap());
            assert_eq!(reply(family, &accepted), expected(Answer::Accepted { mss: Some(1396) }));
            let without_mss = segment(family, |tcp| tcp.syn().ack(8));
            assert_eq!(reply(family, &without_mss), expected(Answer::Accepted { mss: None }));
            let refused = segment(family, |tcp| tcp.rst().ack(8));
            assert_eq!(reply(family, &refused), expected(Answer::Refused));
            assert_eq!(reply(family, &segment(family, |tcp| tcp.ack(8))), None);
            assert_eq!(reply(family, &segment(family, PacketBuilderStep::<TcpHeader>::syn)), None);
            assert_eq!(reply(family, &segment(family, PacketBuilderStep::<TcpHeader>::rst)), None);
            assert_eq!(reply(family, &accepted[..15]), None, "truncated");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(packet in prop::collection::vec(any::<u8>(), 0..120)) {
            for family in [Family::V4, Family::V6] {
                let _ = reply(family, &packet);
            }
        }
    }
}

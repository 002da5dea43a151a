//! The packets sent, read by etherparse.

use etherparse::{IpNumber, Ipv4Slice, Ipv6Slice, SlicedPacket, TransportSlice};

use super::*;

/// A VIP of each family for UDP port 53 with this encap and one server.
fn vpp(address: IpAddr, encap: u32, server: IpAddr) -> Vpp {
    let vpp = Vpp::new();
    let vip = vpp.add_vip(address, UDP, 53, VipSettings { encap, dscp: 10, ..VipSettings::default() });
    vpp.add_as(vip, server, 1);
    vpp
}

fn packets() -> [(IpAddr, Vec<u8>, u16); 2] {
    [
        (VIP.into(), udp4([198, 51, 100, 1], 1234, VIP, 53, 100), 0x0800),
        (VIP6.parse().unwrap(), udp6("2001:db8::7", 1234, VIP6, 53, 100), 0x86dd),
    ]
}

fn gre(ether_type: u16) -> [u8; 4] {
    let [high, low] = ether_type.to_be_bytes();
    [0, 0, high, low]
}

#[test]
fn gre4_contains_the_packet_of_either_family() {
    for (vip, packet, ether_type) in packets() {
        let (verdict, sent) = vpp(vip, 0, server(0)).forward(&packet);
        assert_eq!((verdict, sent.len()), (Verdict::Forwarded(server(0)), 1));
        assert_eq!(sent[0].len(), 24 + packet.len());
        let outer = Ipv4Slice::from_slice(&sent[0]).unwrap();
        let header = outer.header();
        assert_eq!((header.ttl(), header.protocol()), (128, IpNumber::GRE));
        assert_eq!((header.source(), IpAddr::from(header.destination())), (SOURCE4, server(0)));
        assert_eq!((header.dcp().value(), header.ecn().value(), header.identification()), (0, 0, 0));
        assert!(!header.dont_fragment() && !header.more_fragments());
        assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
        assert_eq!(outer.payload().payload[..4], gre(ether_type));
        assert_eq!(outer.payload().payload[4..], packet);
    }
}

#[test]
fn gre6_contains_the_packet_of_either_family() {
    for (vip, packet, ether_type) in packets() {
        let (verdict, sent) = vpp(vip, 1, server6(0)).forward(&packet);
        assert_eq!((verdict, sent.len()), (Verdict::Forwarded(server6(0)), 1));
        assert_eq!(sent[0].len(), 44 + packet.len());
        let outer = Ipv6Slice::from_slice(&sent[0]).unwrap();
        let header = outer.header();
        assert_eq!((header.hop_limit(), header.next_header()), (128, IpNumber::GRE));
        assert_eq!((header.flow_label().value(), header.traffic_class()), (0, 0));
        let source: std::net::Ipv6Addr = SOURCE6.parse().unwrap();
        assert_eq!((header.source_addr(), IpAddr::from(header.destination_addr())), (source, server6(0)));
        assert_eq!(outer.payload().payload[..4], gre(ether_type));
        assert_eq!(outer.payload().payload[4..], packet);
    }
}

#[test]
fn l3dsr_changes_destination_dscp_and_checksums() {
    let mut vpp = Vpp::new();
    let vip = vpp.add_vip(VIP, 255, 0, VipSettings { encap: 2, dscp: 10, ..VipSettings::default() });
    vpp.add_as(vip, server(0), 1);
    let destination = [192, 0, 2, 10];
    let tos = [0xff];
    for packet in [flow(1), udp4([198, 51, 100, 1], 1234, VIP, 53, 101), ping4([198, 51, 100, 1], VIP)] {
        let (_, sent) = vpp.forward(&edit4(packet.clone(), 1, &tos));
        let sliced = SlicedPacket::from_ip(&sent[0]).unwrap();
        let Some(etherparse::NetSlice::Ipv4(ip)) = &sliced.net else { panic!("{sliced:?}") };
        let header = ip.header();
        assert_eq!((header.destination(), header.ttl()), (destination, 64));
        assert_eq!((header.dcp().value(), header.ecn().value()), (10, 0));
        assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
        match sliced.transport.unwrap() {
            TransportSlice::Tcp(tcp) => {
                let sum = tcp.calc_checksum_ipv4(header.source(), destination).unwrap();
                assert_eq!(tcp.checksum(), sum);
            }
            TransportSlice::Udp(udp) => {
                let sum = udp.to_header().calc_checksum_ipv4_raw(header.source(), destination, udp.payload()).unwrap();
                assert_eq!(udp.checksum(), sum);
            }
            _ => assert_eq!(sent[0][20..], packet[20..], "ICMP stays as it was"),
        }
        // Back at the backend: the VIP as destination and the old TOS give the packet of the client.
        let restored = edit4(edit4(sent[0].clone(), 16, &VIP), 1, &[packet[1]]);
        assert_eq!(restored[..20], packet[..20]);
    }
}

#[test]
fn nat_is_counted_and_dropped() {
    let mut vpp = Vpp::new();
    let vip = vpp.add_vip(VIP, TCP, 80, VipSettings { encap: 3, target_port: 8080, ..VipSettings::default() });
    vpp.add_as(vip, server(0), 1);
    assert_eq!(vpp.verdict(&flow(1)), Verdict::Nat);
    assert_eq!(vpp.packets(vip), [0, 1, 0, 0]);
}

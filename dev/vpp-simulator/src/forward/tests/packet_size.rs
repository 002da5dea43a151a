//! Packets around the MTU of the interface towards the backends.

use etherparse::{IpNumber, Ipv4HeaderSlice};

use super::*;

fn vpp(encap: u32, server: IpAddr, mtu: u16) -> (Vpp, VppVip) {
    let vpp = Vpp::with(SimulatorOptions { mtu, ..SimulatorOptions::new("unused") });
    let vip = vpp.add_vip(VIP, UDP, 53, VipSettings { encap, ..VipSettings::default() });
    vpp.add_as(vip, server, 1);
    (vpp, vip)
}

/// A UDP packet of `length` bytes that must not be fragmented.
fn packet(length: usize) -> Vec<u8> {
    edit4(udp4([198, 51, 100, 1], 1234, VIP, 53, length - 28), 6, &[0x40, 0])
}

/// The packet that the fragments belong to, without their differences.
fn reassemble(fragments: &[Vec<u8>]) -> Vec<u8> {
    let mut whole = fragments[0].clone();
    for (number, fragment) in fragments.iter().enumerate() {
        let header = Ipv4HeaderSlice::from_slice(fragment).unwrap();
        assert_eq!(usize::from(header.total_len()), fragment.len());
        assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
        assert_eq!(header.more_fragments(), number + 1 < fragments.len());
        assert_eq!(header.identification(), Ipv4HeaderSlice::from_slice(&whole).unwrap().identification());
        let start = usize::from(header.fragments_offset().value()) * 8;
        assert_eq!(start + 20, if number == 0 { 20 } else { whole.len() });
        whole.splice(20 + start.., fragment[20..].iter().copied());
    }
    let length = (whole.len() as u16).to_be_bytes();
    edit4(edit4(whole, 2, &length), 6, &[0, 0])
}

#[test]
fn gre4_is_fragmented_although_the_packet_must_not_be() {
    let (mut vpp, vip) = vpp(0, server(0), 1500);
    assert_eq!(vpp.forward(&packet(1476)).1.len(), 1);
    for length in [1477, 1480, 1500, 2953, 4000] {
        let inner = packet(length);
        let (verdict, sent) = vpp.forward(&inner);
        assert_eq!(verdict, Verdict::Forwarded(server(0)));
        assert_eq!(sent.len(), (length + 4).div_ceil(1480));
        assert!(sent.iter().all(|fragment| fragment.len() <= 1500));
        let whole = reassemble(&sent);
        assert_eq!((whole[9], &whole[24..]), (IpNumber::GRE.0, inner.as_slice()));
    }
    let id = |sent: &[Vec<u8>]| [sent[0][4], sent[0][5]];
    assert_ne!(id(&vpp.forward(&packet(1500)).1), id(&vpp.forward(&packet(1500)).1));
    assert_eq!(vpp.packets(vip), [7, 1, 0, 0], "fragments are not counted");
    assert_eq!(vpp.simulator.sent(server(0)).packets, 8);
}

#[test]
fn gre6_larger_than_the_mtu_is_dropped_silently() {
    let (mut vpp, vip) = vpp(1, server6(0), 1500);
    assert_eq!(vpp.verdict(&packet(1456)), Verdict::Forwarded(server6(0)));
    assert_eq!(vpp.verdict(&packet(1457)), Verdict::TooBig);
    assert_eq!(vpp.packets(vip), [1, 1, 0, 0], "the counters look fine");
    assert_eq!(vpp.simulator.sent(server6(0)).packets, 2);
}

#[test]
fn default_mtu_has_room_for_large_packets() {
    let (mut vpp, _) = vpp(0, server(0), SimulatorOptions::new("unused").mtu);
    let (_, sent) = vpp.forward(&packet(1500));
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [1524]);
    assert_eq!(vpp.forward(&packet(8976)).1.len(), 1);
    let sent = vpp.forward(&packet(8977)).1;
    // VPP's buffers limit a fragment.
    assert!(sent.len() == 5 && sent.iter().all(|fragment| fragment.len() <= 2044), "{}", sent.len());
    assert_eq!(reassemble(&sent)[24..], packet(8977));
}

#[test]
fn l3dsr_is_fragmented_unless_the_packet_must_not_be() {
    let (mut vpp, _) = vpp(2, server(0), 1500);
    assert_eq!(vpp.forward(&packet(1500)).1.len(), 1);
    assert_eq!(vpp.verdict(&packet(1501)), Verdict::TooBig);
    let fragment = edit4(packet(1501), 4, &[7, 7, 0x20, 100]);
    let sent = vpp.forward(&fragment).1;
    let fields: Vec<_> = sent.iter().map(|packet| Ipv4HeaderSlice::from_slice(packet).unwrap()).collect();
    let fields: Vec<_> = fields
        .iter()
        .map(|ip| (ip.identification(), ip.fragments_offset().value(), ip.more_fragments(), ip.total_len()))
        .collect();
    assert_eq!(fields, [(0x0707, 100, true, 1500), (0x0707, 285, true, 21)]);
}

#[test]
fn packet_whose_outer_length_does_not_fit_is_dropped() {
    let (mut vpp, _) = vpp(0, server(0), u16::MAX);
    assert_eq!(vpp.verdict(&packet(65535)), Verdict::TooBig);
    assert_eq!(vpp.forward(&packet(65511)).1[0].len(), 65535);
}

//! VIPs of a packet, and packets that VPP drops on input.

use super::*;

#[test]
fn all_port_vip_takes_every_protocol_and_port() {
    let mut vpp = Vpp::new();
    let vip = vpp.add_vip(VIP, 255, 0, VipSettings::default());
    vpp.add_as(vip, server(0), 1);
    for packet in [flow(1), udp4([198, 51, 100, 1], 5, VIP, 53, 10), ping4([198, 51, 100, 1], VIP)] {
        assert_eq!(vpp.server(&packet), server(0));
    }
    assert_eq!(vpp.packets(vip), [0, 3, 0, 0]);
}

#[test]
fn per_port_vip_drops_other_ports_protocols_and_icmp() {
    let (mut vpp, vip) = Vpp::serving(&[1]);
    let others =
        [tcp4([198, 51, 100, 1], 5, VIP, 81), udp4([198, 51, 100, 1], 5, VIP, 80, 10), ping4([198, 51, 100, 1], VIP)];
    for packet in &others {
        assert_eq!(vpp.verdict(packet), Verdict::NoPort);
    }
    assert_eq!(vpp.packets(vip), [0; 4]);
    let placeholder = vpp.simulator.edit(|lb| lb.plane.placeholder);
    assert_eq!(placeholder, [0, 0, 0, 3], "VPP counts them on index 0");
    assert_eq!(vpp.verdict(&tcp4([198, 51, 100, 1], 5, [203, 0, 113, 11], 80)), Verdict::NoVip);
}

#[test]
fn longest_prefix_wins_and_servers_are_no_vips() {
    let mut vpp = Vpp::new();
    let network = Prefix::new(VIP.into(), 24).unwrap();
    vpp.simulator.edit(|lb| lb.add_vip(network, 255, 0, VipSettings::default())).unwrap();
    let wide = identity(network, 255, 0);
    let host = vpp.add_vip(VIP, 255, 0, VipSettings::default());
    vpp.add_as(wide, [203, 0, 113, 99].into(), 1);
    vpp.add_as(host, server(1), 1);
    let mut to = |last: u8| vpp.verdict(&tcp4([198, 51, 100, 1], 5, [203, 0, 113, last], 80));
    assert_eq!(to(10), Verdict::Forwarded(server(1)));
    assert_eq!(to(11), Verdict::Forwarded([203, 0, 113, 99].into()));
    assert_eq!(to(99), Verdict::NoVip, "the route to the server is longer");
}

#[test]
fn later_fragments_hash_by_their_data() {
    let mut vpp = Vpp::new();
    let vip = vpp.add_vip(VIP, 255, 0, VipSettings::default());
    (0..10).for_each(|number| vpp.add_as(vip, server(number), 1));
    // Fragment offset 185, that is byte 1480.
    let fragment = |data: [u8; 4]| edit4(edit4(flow(1), 20, &data), 6, &[0, 185]);
    let servers: std::collections::BTreeSet<_> = (0..100).map(|byte| vpp.server(&fragment([byte, 1, 2, 3]))).collect();
    assert!(servers.len() > 5, "{servers:?}");
    assert_eq!(vpp.verdict(&edit4(flow(1), 6, &[0, 1])), Verdict::Malformed, "offset 1 hides the flags of TCP");
    // A packet that ends before the ports.
    let short = edit4(flow(1)[..20].to_vec(), 2, &[0, 20]);
    assert!(matches!(vpp.verdict(&short), Verdict::Forwarded(_)));
}

#[test]
fn invalid_packets_are_dropped() {
    let (mut vpp, vip) = Vpp::serving(&[1]);
    let valid = flow(1);
    let mut padded = valid.clone();
    padded.extend_from_slice(&[0; 6]);
    let (verdict, sent) = vpp.forward(&padded);
    assert_eq!((verdict, sent[0].len()), (Verdict::Forwarded(server(0)), 24 + valid.len()), "padding is removed");
    let mut flipped = valid.clone();
    flipped[10] ^= 1;
    let invalid = [
        vec![],
        valid[..19].to_vec(),
        valid[..valid.len() - 1].to_vec(),
        flipped,
        edit4(valid.clone(), 8, &[0]),
        edit4(valid.clone(), 0, &[0x55]),
        edit4(valid.clone(), 0, &[0x44]),
        edit4(valid.clone(), 2, &[0, 19]),
        vec![0x60; 39],
        udp6("2001:db8::7", 1, VIP6, 2, 10)[..50].to_vec(),
    ];
    for packet in &invalid {
        assert_eq!(vpp.verdict(packet), Verdict::Malformed, "{packet:x?}");
    }
    assert_eq!(vpp.packets(vip), [0, 1, 0, 0]);
}

#[test]
fn packets_with_options_are_dropped() {
    let (mut vpp, _) = Vpp::serving(&[1]);
    let mut packet = flow(1);
    packet.splice(20..20, [1, 1, 1, 0]);
    packet[0] = 0x46;
    packet[3] += 4;
    packet[10..12].fill(0);
    let sum = etherparse::checksum::Sum16BitWords::new().add_slice(&packet[..24]).ones_complement();
    packet[10..12].copy_from_slice(&sum.to_ne_bytes());
    assert_eq!(vpp.verdict(&packet), Verdict::Malformed);
}

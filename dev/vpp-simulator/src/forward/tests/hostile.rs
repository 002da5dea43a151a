//! Any bytes: no panic, and only valid packets are sent.

use etherparse::IpSlice;
use proptest::prelude::*;

use super::*;

/// All-port VIPs of each encap, and a per-port VIP. The MTU is small, so that packets are fragmented.
fn vpp(mtu: u16) -> Vpp {
    let vpp = Vpp::with(SimulatorOptions { mtu, ..SimulatorOptions::new("unused") });
    let settings = |encap| VipSettings { encap, dscp: 63, table_length: 4, ..VipSettings::default() };
    for (last, encap) in [(1, 0), (2, 1), (3, 2)] {
        let vip = vpp.add_vip([203, 0, 113, last], 255, 0, settings(encap));
        vpp.add_as(vip, if encap == 1 { server6(0) } else { server(0) }, 1);
    }
    for (last, encap) in [(1u16, 0), (2, 1)] {
        let address = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
        let vip = vpp.add_vip(address, UDP, 53, settings(encap));
        vpp.add_as(vip, if encap == 1 { server6(0) } else { server(0) }, 1);
    }
    vpp
}

fn check(vpp: &mut Vpp, packet: &[u8]) {
    let mtu = vpp.simulator.edit(|lb| lb.plane.mtu);
    let (verdict, sent) = vpp.forward(packet);
    for packet in &sent {
        let ip = IpSlice::from_slice(packet);
        let is_v6 = packet[0] >> 4 == 6;
        // An inner packet of L3DSR may have invalid extension headers, which etherparse reads.
        let is_readable = ip.is_ok() || packet[16..20] == [192, 0, 2, 10];
        assert!(is_readable, "{verdict:?}: {packet:x?}: {ip:?}");
        assert!(packet.len() <= usize::from(mtu) || (is_v6 && mtu < 1280), "{} > {mtu}", packet.len());
        if !is_v6 {
            let sum = etherparse::checksum::Sum16BitWords::new().add_slice(&packet[..20]).ones_complement();
            assert_eq!(sum, 0, "header checksum");
        }
    }
}

/// A packet with a valid header to one of the VIPs, and any other content.
fn plausible() -> impl Strategy<Value = Vec<u8>> {
    let v4 = (1u8..4, any::<[u8; 2]>(), any::<u8>(), any::<u16>(), prop::collection::vec(any::<u8>(), 0..200));
    let v4 = v4.prop_map(|(last, flags, protocol, id, data)| {
        let mut packet =
            vec![0x45, 0, 0, 0, 0, 0, flags[0], flags[1], 9, protocol % 20, 0, 0, 198, 51, 100, 1, 203, 0, 113, last];
        packet[4..6].copy_from_slice(&id.to_be_bytes());
        packet.extend_from_slice(&data);
        let length = (packet.len() as u16).to_be_bytes();
        edit4(packet, 2, &length)
    });
    let v6 = (1u8..3, any::<u8>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..200));
    let v6 = v6.prop_map(|(last, next, dns, data)| {
        let mut packet = udp6("2001:db8::7", 1, "2001:db8::", 53, data.len());
        packet[39] = last;
        if !dns {
            packet[6] = next;
            let start = packet.len() - data.len();
            packet[start..].copy_from_slice(&data);
        }
        packet
    });
    prop_oneof![v4, v6]
}

proptest! {
    #[test]
    fn any_bytes_are_handled(packet in prop::collection::vec(any::<u8>(), 0..200), mtu in 0u16..2000) {
        check(&mut vpp(mtu), &packet);
    }

    #[test]
    fn plausible_packets_give_valid_packets(packet in plausible(), mtu in 0u16..2000) {
        check(&mut vpp(mtu), &packet);
    }

    #[test]
    fn mutated_and_truncated_packets_are_handled(
        packet in plausible(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end in any::<prop::sample::Index>(),
    ) {
        let mut packet = packet;
        for (at, byte) in changes {
            let at = at.index(packet.len());
            packet[at] = byte;
        }
        packet.truncate(end.index(packet.len()) + 1);
        check(&mut vpp(1500), &packet);
    }
}

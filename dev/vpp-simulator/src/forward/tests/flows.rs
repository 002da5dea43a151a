//! The server of a flow: by the new-flow table, then by the sticky table.

use super::*;
use maglev_model::table;

type Ends<A> = [(A, u16); 2];

/// Source, destination, and the hashes with and without ports.
/// Computed with a bitwise CRC-32C outside of this project.
const HASHES: [(Ends<[u8; 4]>, [u32; 2]); 3] = [
    ([([198, 51, 100, 7], 40000), ([203, 0, 113, 10], 80)], [0xc121_0ce0, 0x6236_5f33]),
    ([([198, 51, 100, 7], 40001), ([203, 0, 113, 10], 80)], [0x36fa_c7c5, 0x6236_5f33]),
    ([([10, 1, 2, 3], 1), ([192, 0, 2, 1], 65535)], [0xfe4e_12c3, 0x119e_a958]),
];
const HASHES6: [(Ends<&str>, [u32; 2]); 2] = [
    ([("2001:db8::7", 40000), ("2001:db8:1::10", 443)], [0xef30_6fee, 0x3dec_2f03]),
    ([("fe80::1", 65535), ("2001:db8::2", 1)], [0x2e28_ba04, 0x57f8_d653]),
];

#[test]
fn known_packets_have_the_hash_of_vpp() {
    for ([(source, source_port), (destination, port)], hashes) in HASHES {
        for bytes in [tcp4(source, source_port, destination, port), udp4(source, source_port, destination, port, 9)] {
            let packet = Packet::parse(&bytes).unwrap();
            assert_eq!([packet.hash(false), packet.hash(true)], hashes);
        }
        let bytes = ping4(source, destination);
        assert_eq!(Packet::parse(&bytes).unwrap().hash(false), hashes[1], "ICMP has no ports");
    }
    for ([(source, source_port), (destination, port)], hashes) in HASHES6 {
        let bytes = udp6(source, source_port, destination, port, 9);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!([packet.hash(false), packet.hash(true)], hashes);
    }
}

#[test]
fn new_flow_takes_the_server_of_its_bucket() {
    // The weights of the recording: 317, 91, 0 and 616 of 1,024 buckets.
    let weights = [100, 25, 0, 200];
    let (mut vpp, _) = Vpp::serving(&weights);
    let servers: Vec<_> = (0..).zip(weights).map(|(number, weight)| (server(number), weight)).collect();
    let buckets = table::fill(1024, &servers);
    for number in 0..2000 {
        let packet = flow(number);
        let hash = Packet::parse(&packet).unwrap().hash(false);
        assert_eq!(vpp.server(&packet), servers[buckets[hash as usize % 1024] as usize].0);
    }
}

#[test]
fn flow_has_the_same_server_on_every_node() {
    let (mut first, _) = Vpp::serving(&[10; 8]);
    let mut second = Vpp::new();
    let vip = second.add_vip(VIP, TCP, 80, VipSettings::default());
    for number in (0..8).rev() {
        second.add_as(vip, server(number), 10);
    }
    for number in 0..500 {
        assert_eq!(first.server(&flow(number)), second.server(&flow(number)));
    }
}

#[test]
fn client_ip_vip_ignores_ports() {
    let mut vpp = Vpp::new();
    let sticky = VipSettings { src_ip_sticky: true, ..VipSettings::default() };
    let (by_client, by_flow) = (vpp.add_vip(VIP, TCP, 80, sticky), vpp.add_vip(VIP, TCP, 81, VipSettings::default()));
    for number in 0..10 {
        vpp.add_as(by_client, server(number), 1);
        vpp.add_as(by_flow, server(number), 1);
    }
    let mut servers = |port: u16| -> std::collections::BTreeSet<_> {
        (1..100).map(|source_port| vpp.server(&tcp4([198, 51, 100, 1], source_port, VIP, port))).collect()
    };
    assert_eq!(servers(80).len(), 1);
    assert!(servers(81).len() > 5);
    assert_eq!(vpp.packets(by_client), [98, 1, 0, 0], "the ports of a client are one flow");
}

#[test]
fn drained_server_keeps_its_flows_until_they_are_flushed() {
    let (mut vpp, vip) = Vpp::serving(&[10, 10]);
    let numbers: Vec<u32> = (0..50).collect();
    let before: Vec<_> = numbers.iter().map(|number| vpp.server(&flow(*number))).collect();
    let flows = before.iter().filter(|address| **address == server(0)).count();
    assert!(flows > 10 && flows < 40);
    vpp.set_weight(vip, server(0), 0);
    let drained: Vec<_> = numbers.iter().map(|number| vpp.server(&flow(*number))).collect();
    assert_eq!(drained, before, "established flows stay");
    assert!((1000..1050).all(|number| vpp.server(&flow(number)) == server(1)), "new flows go elsewhere");
    assert_eq!(vpp.flows(vip, server(0)), Some(flows as u64));
    vpp.flush(vip, server(0));
    assert_eq!(vpp.flows(vip, server(0)), Some(0));
    assert!(numbers.iter().all(|number| vpp.server(&flow(*number)) == server(1)), "flushed flows move");
}

#[test]
fn flush_of_one_vip_keeps_the_flows_of_another() {
    let (mut vpp, first) = Vpp::serving(&[10]);
    let second = vpp.add_vip(VIP, TCP, 81, VipSettings::default());
    vpp.add_as(second, server(0), 10);
    vpp.server(&flow(1));
    vpp.server(&tcp4([198, 51, 100, 1], 1, VIP, 81));
    vpp.flush(first, server(0));
    assert_eq!((vpp.flows(first, server(0)), vpp.flows(second, server(0))), (Some(0), Some(1)));
}

#[test]
fn every_packet_renews_its_flow_and_silence_ends_it() {
    let (mut vpp, vip) = Vpp::serving(&[10, 10]);
    let number = (0..).find(|number| vpp.server(&flow(*number)) == server(0)).unwrap();
    vpp.set_weight(vip, server(0), 0);
    for _ in 0..5 {
        vpp.advance(39);
        assert_eq!(vpp.server(&flow(number)), server(0));
    }
    vpp.advance(40);
    assert_eq!(vpp.server(&flow(number)), server(1), "the timeout is 40 s");
}

#[test]
fn flow_without_a_place_is_untracked_and_moves() {
    let (mut vpp, vip) = Vpp::serving(&[10, 10]);
    vpp.set_conf(|conf| conf.sticky_buckets_per_core = 1);
    for number in 0..4 {
        vpp.server(&flow(number));
    }
    let number = (4..).find(|number| vpp.server(&flow(*number)) == server(0)).unwrap();
    let untracked = u64::from(number) - 3;
    assert_eq!(vpp.packets(vip), [0, 4, untracked, 0]);
    vpp.set_weight(vip, server(0), 0);
    assert_eq!(vpp.server(&flow(number)), server(1), "no entry keeps the flow");
    // Two flows are renewed; the places of the other two are free after the timeout.
    vpp.advance(30);
    vpp.server(&flow(0));
    vpp.server(&flow(2));
    vpp.advance(10);
    let before = vpp.packets(vip);
    for number in [100, 101, 102, 0, 2] {
        vpp.server(&flow(number));
    }
    let after = vpp.packets(vip);
    assert_eq!([0, 1, 2].map(|kind| after[kind] - before[kind]), [2, 2, 1]);
}

#[test]
fn flushed_entry_takes_its_place_until_the_timeout() {
    let (mut vpp, vip) = Vpp::serving(&[10]);
    vpp.set_conf(|conf| conf.sticky_buckets_per_core = 1);
    (0..4).for_each(|number| assert_eq!(vpp.server(&flow(number)), server(0)));
    vpp.flush(vip, server(0));
    vpp.server(&flow(0));
    assert_eq!(vpp.packets(vip), [0, 4, 1, 0]);
    vpp.advance(40);
    vpp.server(&flow(0));
    assert_eq!(vpp.packets(vip), [0, 5, 1, 0]);
}

#[test]
fn other_number_of_buckets_drops_all_flows() {
    let (mut vpp, vip) = Vpp::serving(&[10]);
    vpp.server(&flow(1));
    vpp.set_conf(|conf| conf.flow_timeout = 41);
    assert_eq!(vpp.flows(vip, server(0)), Some(1));
    vpp.set_conf(|conf| conf.sticky_buckets_per_core = 2048);
    assert_eq!(vpp.flows(vip, server(0)), Some(0));
    vpp.server(&flow(1));
    assert_eq!(vpp.packets(vip), [0, 2, 0, 0]);
}

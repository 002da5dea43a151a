//! Counters: every packet is in exactly one of a VIP's four, and in those of its routes.

use proptest::prelude::*;

use super::*;
use crate::{Traffic, cli, traffic::Sent};

/// Steps on VIPs and servers, numbered.
#[derive(Clone, Debug)]
enum Step {
    Packet { vip: u8, flow: u8, length: u16 },
    Weight { vip: u8, server: u8, weight: u8 },
    Flush { vip: u8, server: u8 },
    Remove { vip: u8, server: u8 },
    Add { vip: u8, server: u8 },
    Advance(u8),
    Buckets(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let (vip, server) = (0u8..5, 0u8..3);
    prop_oneof![
        20 => (0u8..6, any::<u8>(), 0u16..1500).prop_map(|(vip, flow, length)| Step::Packet { vip, flow, length }),
        2 => (vip.clone(), server.clone(), 0u8..4).prop_map(|(vip, server, weight)| Step::Weight { vip, server, weight }),
        1 => (vip.clone(), server.clone()).prop_map(|(vip, server)| Step::Flush { vip, server }),
        1 => (vip.clone(), server.clone()).prop_map(|(vip, server)| Step::Remove { vip, server }),
        1 => (vip, server).prop_map(|(vip, server)| Step::Add { vip, server }),
        1 => (0u8..80).prop_map(Step::Advance),
        1 => (0u8..3).prop_map(Step::Buckets),
    ]
}

/// VIPs on ports 0 to 4 with different encaps, and two servers each.
fn vpp() -> (Vpp, Vec<VppVip>) {
    let vpp = Vpp::with(SimulatorOptions { mtu: 1500, ..SimulatorOptions::new("unused") });
    let vips: Vec<_> = (0..5u8)
        .map(|number| {
            let encap = [0, 1, 2, 3, 0][usize::from(number)];
            let settings = VipSettings { encap, table_length: 16, target_port: 1, ..VipSettings::default() };
            vpp.add_vip([203, 0, 113, number], UDP, 1000, settings)
        })
        .collect();
    (vpp, vips)
}

fn address(vip: u8, number: u8) -> IpAddr {
    if vip == 1 { server6(number.into()) } else { server(number) }
}

fn apply(vpp: &mut Vpp, vips: &[VppVip], step: &Step) {
    let edit = |vip: u8, change: &dyn Fn(&mut crate::Lb, VppVip)| {
        vpp.simulator.edit(|lb| change(lb, vips[usize::from(vip)]));
    };
    match *step {
        Step::Packet { .. } => {}
        Step::Weight { vip, server, weight } => edit(vip, &|lb, id| {
            let _ = lb.set_weight(id, address(vip, server), weight);
        }),
        Step::Flush { vip, server } => edit(vip, &|lb, id| lb.flush(id, address(vip, server))),
        Step::Remove { vip, server } => edit(vip, &|lb, id| {
            let _ = lb.remove_as(id, address(vip, server));
        }),
        Step::Add { vip, server } => edit(vip, &|lb, id| {
            let _ = lb.add_as(id, address(vip, server), 1);
        }),
        Step::Advance(seconds) => vpp.advance(seconds.into()),
        Step::Buckets(exponent) => vpp.set_conf(|conf| conf.sticky_buckets_per_core = 1 << exponent),
    }
}

proptest! {
    #[test]
    fn every_packet_is_in_exactly_one_counter(steps in prop::collection::vec(step(), 1..300)) {
        let (mut vpp, vips) = vpp();
        let (mut counted, mut routed, mut bytes) = (0, 0, 0);
        for step in &steps {
            apply(&mut vpp, &vips, step);
            let Step::Packet { vip, flow, length } = *step else { continue };
            // Port 1001 has no VIP, and address 5 has none at all.
            let port = 1000 + u16::from(flow % 8 == 0);
            let packet = udp4([198, 18, 0, flow], 7, [203, 0, 113, vip], port, length.into());
            let before = totals(&vpp, &vips);
            let verdict = vpp.verdict(&packet);
            let after = totals(&vpp, &vips);
            let changed = before.iter().zip(&after).filter(|(before, after)| before != after).count();
            let is_counted = verdict != Verdict::NoVip;
            prop_assert_eq!(changed, usize::from(is_counted), "{:?}", verdict);
            counted += u64::from(is_counted);
            bytes += if is_counted { packet.len() as u64 } else { 0 };
            routed += u64::from(matches!(verdict, Verdict::Forwarded(_) | Verdict::TooBig));
        }
        prop_assert_eq!(totals(&vpp, &vips).iter().sum::<u64>(), counted);
        let to = vpp.simulator.edit(|lb| lb.fib.to().clone());
        let sum = to.into_values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        prop_assert_eq!(sum, (counted, bytes));
        let servers = (0..3).map(server).chain((0..3).map(server6));
        prop_assert_eq!(servers.map(|server| vpp.simulator.sent(server).packets).sum::<u64>(), routed);
        check_references(&vpp);
    }
}

/// All counters: four of each VIP, four of the placeholder.
fn totals(vpp: &Vpp, vips: &[VppVip]) -> Vec<u64> {
    let placeholder = vpp.simulator.edit(|lb| lb.plane.placeholder);
    vips.iter().flat_map(|vip| vpp.packets(*vip)).chain(placeholder).collect()
}

/// Compares the reference counts with the entries of the table.
fn check_references(vpp: &Vpp) {
    vpp.simulator.edit(|lb| {
        let crate::sticky::Sticky::Tracked(table) = &lb.sticky else { panic!("packets are forwarded") };
        for (slot, _) in lb.servers.iter() {
            assert_eq!(u64::from(table.references(slot)), table.entries_with(slot), "slot {slot}");
        }
    });
}

#[test]
fn routes_count_inner_bytes_to_the_vip_and_outer_bytes_to_the_server() {
    let (mut vpp, vip) = Vpp::serving(&[1]);
    let packet = flow(1);
    let length = packet.len() as u64;
    (0..3).for_each(|_| assert_eq!(vpp.server(&packet), server(0)));
    let (to, via) = vpp.simulator.edit(|lb| {
        let route = lb.fib.lookup(Prefix::host(vip.address), true).unwrap().stats_index;
        let dpo = lb.dpo(server(0)).unwrap();
        (lb.fib.to()[&route], lb.fib.via()[&dpo])
    });
    assert_eq!((to, via), ((3, 3 * length), (3, 3 * (length + 24))));
    assert_eq!(vpp.simulator.sent(server(0)), Sent { packets: 3, bytes: 3 * (length + 24) });
}

#[test]
fn vip_without_servers_counts_no_server_until_its_bucket_is_full() {
    let (mut vpp, vip) = Vpp::serving(&[0]);
    for _ in 0..6 {
        assert_eq!(vpp.verdict(&flow(1)), Verdict::NoServer);
    }
    // As in VPP, each packet of the flow takes another entry, and a full bucket tracks nothing.
    assert_eq!(vpp.packets(vip), [0, 0, 2, 4]);
    vpp.set_weight(vip, server(0), 1);
    assert_eq!(vpp.server(&flow(1)), server(0));
    assert_eq!(vpp.packets(vip), [0, 0, 3, 4]);
    vpp.advance(40);
    assert_eq!(vpp.server(&flow(1)), server(0));
    assert_eq!(vpp.packets(vip), [0, 1, 3, 4]);
}

#[test]
fn cli_shows_flows_and_usage_of_packets() {
    let (mut vpp, vip) = Vpp::serving(&[1]);
    let show = |vpp: &Vpp, command: &str| vpp.simulator.edit(|lb| cli::output(lb, command));
    assert!(!show(&vpp, "show lb").contains("core"), "the table exists after the first packet");
    (0..3).for_each(|number| assert_eq!(vpp.server(&flow(number)), server(0)));
    assert!(
        show(&vpp, "show lb").ends_with("core 1\n  timeout: 40s\n  usage: 3 / 1027\n"),
        "{}",
        show(&vpp, "show lb")
    );
    assert!(show(&vpp, "show lb vips verbose").contains("buckets:1024 flows:3 "));
    vpp.advance(40);
    assert!(show(&vpp, "show lb").contains("usage: 3 /"), "VPP counts entries that time out now");
    vpp.advance(1);
    assert!(show(&vpp, "show lb").contains("usage: 0 /"));
    assert_eq!(vpp.flows(vip, server(0)), Some(3), "expired entries refer to their server");
}

#[test]
fn simulated_traffic_ends_with_the_first_forwarder() {
    let traffic = Traffic { existing: 1000, first: 100, untracked: 0, packet_bytes: 100 };
    let simulator = Simulator::in_memory(SimulatorOptions { traffic, ..SimulatorOptions::new("unused") });
    let prefix = Prefix::host(VIP.into());
    let vip = identity(prefix, TCP, 80);
    simulator.edit(|lb| {
        lb.add_vip(prefix, TCP, 80, VipSettings::default()).unwrap();
        lb.add_as(vip, server(0), 1).unwrap();
    });
    simulator.advance(Duration::from_secs(1));
    let mut forwarder = simulator.forwarder();
    let before = simulator.packets(vip).unwrap();
    assert!(before.existing >= 1000);
    simulator.set_traffic(vip, traffic);
    simulator.advance(Duration::from_secs(5));
    assert_eq!(simulator.packets(vip), Some(before));
    assert_eq!(forwarder.forward(&flow(1), &mut |_| ()), Verdict::Forwarded(server(0)));
    assert_eq!(simulator.packets(vip).unwrap().first, before.first + 1);
}

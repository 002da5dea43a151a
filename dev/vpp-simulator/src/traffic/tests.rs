use std::net::IpAddr;

use super::*;
use crate::{
    options::{GarbageCollection, Recompute, Release},
    prefix::Prefix,
    vip::{VipSettings, identity},
};

fn server(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

/// A VIP with servers of these weights.
fn lb(weights: &[u8]) -> (Lb, VppVip, u32) {
    let mut lb = Lb::new(Release::default(), GarbageCollection::default(), Recompute::Lazy);
    let prefix = Prefix::host([192, 0, 2, 1].into());
    let id = identity(prefix, 6, 80);
    let index = lb.add_vip(prefix, 6, 80, VipSettings::default()).unwrap();
    for (last, &weight) in (9..).zip(weights) {
        lb.add_as(id, server(last), weight).unwrap();
    }
    (lb, id, index)
}

#[test]
fn packets_are_counted_by_kind_or_as_no_server() {
    let (mut lb, id, index) = lb(&[1]);
    lb.set_traffic(id, Traffic { existing: 3, first: 2, untracked: 1, packet_bytes: 100 });
    // Steps of 0.5 s: half packets are not lost.
    for half in 1..=4 {
        lb.advance_to(Duration::from_millis(500 * half));
    }
    let packets = |lb: &Lb| lb.vips.get(index).unwrap().counters.packets;
    assert_eq!(packets(&lb), [6, 4, 2, 0]);
    assert_eq!(lb.sent(server(9)), Sent { packets: 12, bytes: 12 * 124 });
    lb.set_weight(id, server(9), 0).unwrap();
    lb.advance_to(Duration::from_secs(3));
    assert_eq!(packets(&lb), [6, 4, 2, 6]);
    let route = lb.fib.lookup(Prefix::host([192, 0, 2, 1].into()), true).unwrap().stats_index;
    assert_eq!(lb.fib.to().get(&route), Some(&(18, 1800)));
    assert_eq!(lb.sent(server(9)).packets, 12, "packets without a server are not sent");
}

#[test]
fn packets_are_divided_by_buckets_and_none_is_lost() {
    let (mut lb, id, index) = lb(&[100, 25, 0, 200]);
    lb.set_traffic(id, Traffic { existing: 900, first: 101, untracked: 7, packet_bytes: 100 });
    for step in 1..=1000 {
        lb.advance_to(Duration::from_millis(17 * step));
        let counted: u64 = lb.vips.get(index).unwrap().counters.packets.iter().sum();
        let sent: u64 = (9..13).map(|last| lb.sent(server(last)).packets).sum();
        assert_eq!(sent, counted);
    }
    // 17 s of 1008 packets/s in shares of 1024 buckets; the numbers of buckets are those of VPP.
    let (total, all) = (17 * 1008, [9, 10, 11, 12].map(|last| lb.sent(server(last)).packets));
    for (sent, buckets) in all.into_iter().zip([317_u64, 91, 0, 616]) {
        let exact = total * buckets / 1024;
        assert!(sent.abs_diff(exact) <= 4, "{sent} packets, not {exact}");
    }
}

#[test]
fn restacked_route_counts_at_another_index_and_cleared_counters_at_zero() {
    let (mut lb, id, _) = lb(&[1]);
    lb.set_traffic(id, Traffic { existing: 100, ..Traffic::default() });
    lb.advance_to(Duration::from_secs(1));
    let via = |lb: &Lb, dpo: u32| lb.fib.via().get(&dpo).map(|(packets, _)| *packets);
    let old = lb.dpo(server(9)).unwrap();
    assert_eq!(via(&lb, old), Some(100));
    lb.restack(server(9));
    let new = lb.dpo(server(9)).unwrap();
    assert_ne!(old, new);
    lb.advance_to(Duration::from_secs(2));
    assert_eq!((via(&lb, old), via(&lb, new)), (Some(100), Some(100)));
    lb.clear_route_counters();
    assert_eq!(via(&lb, new), Some(0));
    assert_eq!(lb.sent(server(9)).packets, 200);
}

#[test]
fn first_packets_fill_the_sticky_tables() {
    let (mut lb, id, _) = lb(&[1, 1]);
    lb.set_traffic(id, Traffic { existing: 1000, first: 30, ..Traffic::default() });
    for second in 1..=10 {
        lb.advance_to(Duration::from_secs(second));
    }
    let usage = lb.sticky.usage(lb.now);
    let [(0, main), (1, worker)] = usage[..] else { panic!("{usage:?}") };
    assert!(main > 0 && worker > main && main + worker == 300, "{usage:?}");
    let flows = lb.sticky_flows(id, server(9)).unwrap();
    assert_eq!(flows + lb.sticky_flows(id, server(10)).unwrap(), 300);
    lb.flush(id, server(9));
    assert_eq!(lb.sticky_flows(id, server(9)), Some(0));
    lb.set_conf(maglev_model::actual::ActualConf { sticky_buckets_per_core: 2048, ..lb.conf() }).unwrap();
    assert_eq!(lb.sticky.usage(lb.now), [], "another number of buckets drops the tables");
}

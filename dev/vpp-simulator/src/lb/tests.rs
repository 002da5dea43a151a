//! The state stays consistent under any sequence of operations, for both ways of computing tables.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::snapshot::Snapshot;

#[derive(Clone, Debug)]
enum Operation {
    AddVip(u8, u16),
    RemoveVip(u8, u16),
    AddAs(u8, u16, u8, u8),
    RemoveAs(u8, u16, u8),
    SetWeight(u8, u16, u8, u8),
    Wait(u64),
}

fn operation() -> impl Strategy<Value = Operation> {
    // Few values of each kind, so that operations interact.
    let (vip, port, server, weight) = (0u8..2, prop::sample::select(vec![0u16, 80, 443]), 0u8..4, 0u8..=20);
    prop_oneof![
        2 => (vip.clone(), port.clone()).prop_map(|(vip, port)| Operation::AddVip(vip, port)),
        1 => (vip.clone(), port.clone()).prop_map(|(vip, port)| Operation::RemoveVip(vip, port)),
        4 => (vip.clone(), port.clone(), server.clone(), weight.clone())
            .prop_map(|(vip, port, server, weight)| Operation::AddAs(vip, port, server, weight)),
        2 => (vip.clone(), port.clone(), server.clone())
            .prop_map(|(vip, port, server)| Operation::RemoveAs(vip, port, server)),
        2 => (vip, port, server, weight)
            .prop_map(|(vip, port, server, weight)| Operation::SetWeight(vip, port, server, weight)),
        1 => (0u64..90).prop_map(Operation::Wait),
    ]
}

fn host(network: u8, last: u8) -> IpAddr {
    Ipv4Addr::new(203, 0, network, last).into()
}

fn id(vip: u8, port: u16) -> VppVip {
    identity(Prefix::host(host(1, vip)), 6, port)
}

fn apply(lb: &mut Lb, operation: &Operation) -> Result<(), Refusal> {
    match *operation {
        Operation::AddVip(vip, port) => {
            let settings = VipSettings { table_length: 64, ..VipSettings::default() };
            lb.add_vip(Prefix::host(host(1, vip)), 6, port, settings).map(|_| ())
        }
        Operation::RemoveVip(vip, port) => lb.remove_vip(Prefix::host(host(1, vip)), 6, port),
        Operation::AddAs(vip, port, server, weight) => lb.add_as(id(vip, port), host(2, server), weight),
        Operation::RemoveAs(vip, port, server) => lb.remove_as(id(vip, port), host(2, server)),
        Operation::SetWeight(vip, port, server, weight) => lb.set_weight(id(vip, port), host(2, server), weight),
        Operation::Wait(seconds) => {
            lb.advance_to(lb.now + Duration::from_secs(seconds));
            Ok(())
        }
    }
}

fn sound(snapshot: &Snapshot) -> Result<(), TestCaseError> {
    for (id, vip) in &snapshot.vips {
        let taken: u32 = vip.ases.values().map(|server| server.buckets).sum();
        let has_weight = vip.ases.values().any(|server| server.weight > 0);
        prop_assert_eq!(taken, if has_weight { 64 } else { 0 }, "{}", id);
        let neighbours = snapshot.vips.keys().filter(|other| other.address == id.address).count();
        prop_assert!(id.port != 0 || neighbours == 1, "{} beside a per-port vip", id);
    }
    Ok(())
}

/// Adds the VIP `last` with one server, as in the recorded runs.
fn add(lb: &mut Lb, last: u8, settings: VipSettings) -> VppVip {
    lb.add_vip(Prefix::host(host(1, last)), 6, 80, settings).unwrap();
    lb.add_as(id(last, 80), host(2, 10), 10).unwrap();
    id(last, 80)
}

fn nat(target_port: u16) -> VipSettings {
    VipSettings { encap: 3, target_port, ..VipSettings::default() }
}

fn at(lb: &mut Lb, seconds: u64) {
    lb.advance_to(Duration::from_secs(seconds));
}

#[test]
fn garbage_is_collected_at_the_recorded_times() {
    let mut lb = Lb::new(Release::V26_10, GarbageCollection::default(), Recompute::Eager);
    at(&mut lb, 3);
    let live_vip = add(&mut lb, 1, VipSettings::default());
    lb.add_as(live_vip, host(2, 11), 10).unwrap();
    lb.remove_as(live_vip, host(2, 11)).unwrap();
    let deleted_vip = add(&mut lb, 2, VipSettings::default());
    lb.remove_vip(Prefix::host(deleted_vip.address), 6, 80).unwrap();
    let empty = Prefix::host(host(1, 3));
    lb.add_vip(empty, 6, 0, VipSettings::default()).unwrap();
    lb.remove_vip(empty, 6, 0).unwrap();
    let mut counts = |seconds| {
        at(&mut lb, seconds);
        (lb.vips.len(), lb.servers.len())
    };
    assert_eq!(counts(59), (3, 3));
    assert_eq!(counts(60), (2, 3), "only an empty VIP goes: the others were added less than 60 s ago");
    assert_eq!(counts(119), (2, 3));
    assert_eq!(counts(120), (1, 1), "a deleted VIP goes together with its last server");
}

#[test]
fn vpp_crashes_on_collecting_the_second_nat_vip_with_the_same_server_and_port() {
    for (port, dies) in [(8080, true), (8081, false)] {
        let mut lb = Lb::new(Release::V26_10, GarbageCollection::default(), Recompute::Eager);
        for vip in [add(&mut lb, 1, nat(8080)), add(&mut lb, 2, nat(port))] {
            lb.remove_as(vip, host(2, 10)).unwrap();
        }
        at(&mut lb, 60);
        assert!(!lb.has_crashed());
        at(&mut lb, 120);
        assert_eq!(lb.has_crashed(), dies, "port {port}");
    }
}

#[test]
fn vpp_crashes_on_a_nat_vip_recreated_before_its_collection() {
    let mut lb = Lb::new(Release::V26_10, GarbageCollection::default(), Recompute::Eager);
    for _ in 0..2 {
        let vip = add(&mut lb, 1, nat(8080));
        lb.remove_vip(Prefix::host(vip.address), 6, 80).unwrap();
    }
    at(&mut lb, 120);
    assert!(lb.has_crashed());
}

#[test]
fn vpp_crashes_on_a_server_of_an_all_ports_nat_vip() {
    let mut lb = Lb::new(Release::V26_10, GarbageCollection::default(), Recompute::Eager);
    lb.add_vip(Prefix::host(host(1, 1)), 6, 0, nat(8080)).unwrap();
    assert_eq!(lb.add_as(id(1, 0), host(2, 10), 10), Err(Refusal::Fatal));
}

#[test]
fn other_protocols_have_ports_as_well() {
    let mut lb = Lb::new(Release::V26_10, GarbageCollection::default(), Recompute::Eager);
    let prefix = Prefix::host(host(1, 1));
    let mut added = |protocol, port| lb.add_vip(prefix, protocol, port, VipSettings::default());
    assert_eq!((added(1, 80), added(6, 80), added(255, 80)), (Ok(1), Ok(2), Ok(3)));
    assert_eq!(added(1, 80), Err(Refusal::ValueExist));
    assert_eq!(added(17, 0), Err(Refusal::ValueExist));
}

#[test]
fn an_encap_that_does_not_go_with_ipv6_becomes_gre() {
    assert_eq!([2, 3, 9].map(|encap| VipType::new(false, encap)), [Some(VipType::Ip6Gre6); 3]);
    assert_eq!([4, 9].map(|encap| VipType::new(true, encap)), [None; 2]);
}

proptest! {
    #[test]
    fn eager_and_lazy_tables_are_equal_and_full(
        operations in prop::collection::vec(operation(), 0..60),
    ) {
        let mut eager = Lb::new(Release::V26_10, GarbageCollection::default(), Recompute::Eager);
        let mut lazy = Lb::new(Release::V26_10, GarbageCollection::default(), Recompute::Lazy);
        for operation in &operations {
            prop_assert_eq!(apply(&mut eager, operation), apply(&mut lazy, operation));
            let snapshot = Snapshot::new(&mut eager);
            sound(&snapshot)?;
        }
        prop_assert_eq!(Snapshot::new(&mut eager), Snapshot::new(&mut lazy));
    }

    #[test]
    fn removal_leaves_no_state_behind(operations in prop::collection::vec(operation(), 0..60)) {
        let mut lb = Lb::new(Release::V26_10, GarbageCollection::default(), Recompute::Lazy);
        for operation in &operations {
            let _ = apply(&mut lb, operation);
        }
        for (vip, port) in [(0, 0), (0, 80), (0, 443), (1, 0), (1, 80), (1, 443)] {
            let _ = apply(&mut lb, &Operation::RemoveVip(vip, port));
        }
        // The first call skips a VIP that was collected within the interval.
        lb.advance_to(lb.now + Duration::from_secs(10 + 2 * 60));
        prop_assert_eq!((lb.vips.len(), lb.servers.len()), (0, 0));
        let route = lb.fib.lookup(Prefix::host(host(2, 0)), true);
        prop_assert_eq!(route, None, "routes go with those who need them");
    }
}

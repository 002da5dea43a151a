//! Any sequence of operations leaves the plugin's state sound, however its tables are computed.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::sandbox::vpp_simulator::snapshot::Snapshot;

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
    // Few of each, so that operations meet.
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
        let anybody = vip.ases.values().any(|server| server.weight > 0);
        prop_assert_eq!(taken, if anybody { 64 } else { 0 }, "{}", id);
        let neighbours = snapshot.vips.keys().filter(|other| other.address == id.address).count();
        prop_assert!(id.port != 0 || neighbours == 1, "{} beside a per-port vip", id);
    }
    Ok(())
}

proptest! {
    #[test]
    fn tables_computed_at_once_or_when_read_are_the_same_and_always_full(
        operations in prop::collection::vec(operation(), 0..60),
    ) {
        let mut eager = Lb::new(GarbageCollection::default(), Recompute::Eager);
        let mut lazy = Lb::new(GarbageCollection::default(), Recompute::Lazy);
        for operation in &operations {
            prop_assert_eq!(apply(&mut eager, operation), apply(&mut lazy, operation));
            let snapshot = Snapshot::of(&mut eager);
            sound(&snapshot)?;
        }
        prop_assert_eq!(Snapshot::of(&mut eager), Snapshot::of(&mut lazy));
    }

    #[test]
    fn what_is_removed_leaves_nothing_behind(operations in prop::collection::vec(operation(), 0..60)) {
        let mut lb = Lb::new(GarbageCollection::default(), Recompute::Lazy);
        for operation in &operations {
            let _ = apply(&mut lb, operation);
        }
        for (vip, port) in [(0, 0), (0, 80), (0, 443), (1, 0), (1, 80), (1, 443)] {
            let _ = apply(&mut lb, &Operation::RemoveVip(vip, port));
        }
        // One collection takes the servers, the next one the VIPs.
        lb.advance_to(lb.now + Duration::from_secs(10 + 2 * 60));
        prop_assert_eq!((lb.vips.len(), lb.servers.len()), (0, 0));
        let route = lb.fib.lookup(Prefix::host(host(2, 0)), true);
        prop_assert_eq!(route, None, "routes go with those who need them");
    }
}

//! Properties of plans: a plan applied to the actual state gives the desired state; a second plan is empty; no step
//! violates VPP's rules per prefix.

mod kept;
mod weightless;

use std::net::Ipv4Addr;

use proptest::{collection::btree_map, prelude::*};

use super::*;
use crate::{
    desired::DesiredEntry,
    problem::{Problem, Reason},
    vip::{Dscp, Protocol, Service},
    weights::BackendCondition,
};

fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, last))
}

fn server(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

fn name(text: &str) -> Name {
    Name::namespaced("default", text)
}

fn port(number: u16) -> Service {
    Service::Port { protocol: Protocol::Tcp, port: number.try_into().unwrap() }
}

fn want_as(weight: DesiredWeight) -> DesiredAs {
    DesiredAs { backend: name("b"), condition: BackendCondition::Up, weight }
}

fn weights() -> impl Strategy<Value = DesiredWeight> {
    prop_oneof![
        4 => (0..=100_u8).prop_map(|weight| DesiredWeight::Set(Weight::new(weight).unwrap())),
        1 => (0..=100_u8).prop_map(|weight| DesiredWeight::Keep { if_absent: Weight::new(weight) }),
        1 => Just(DesiredWeight::Keep { if_absent: None }),
    ]
}

fn ases() -> impl Strategy<Value = BTreeMap<IpAddr, DesiredAs>> {
    btree_map((1..6_u8).prop_map(server), weights().prop_map(want_as), 0..5)
}

/// The encap of all VIPs of an address; the index guarantees that they have the same.
fn encap_for(address: IpAddr, salt: u8) -> Encap {
    let IpAddr::V4(v4) = address else { unreachable!("the generator makes IPv4 only") };
    if (v4.octets()[3] + salt).is_multiple_of(2) { Encap::Gre4 } else { Encap::L3dsr(Dscp::new(7).unwrap()) }
}

/// All-port and per-port VIPs exclude each other on an address.
fn services(address: IpAddr, salt: u8) -> BoxedStrategy<Service> {
    let IpAddr::V4(v4) = address else { unreachable!("the generator makes IPv4 only") };
    if (v4.octets()[3] + salt).is_multiple_of(3) {
        Just(Service::AllPorts).boxed()
    } else {
        (80..83_u16).prop_map(port).boxed()
    }
}

fn keys(salt: u8) -> impl Strategy<Value = VipKey> {
    (1..5_u8)
        .prop_map(address)
        .prop_flat_map(move |address| services(address, salt).prop_map(move |service| VipKey { address, service }))
}

fn desired() -> impl Strategy<Value = Desired> {
    (0..6_u8).prop_flat_map(|salt| {
        let want = (any::<bool>(), any::<bool>(), ases(), any::<bool>(), 0..10_u8);
        btree_map(keys(salt), want, 0..7).prop_map(move |map| {
            let entry = |key: VipKey, (sticky, long, ases, keep_unclaimed, kind): (bool, bool, _, bool, u8)| {
                let length = if long { 1024 } else { 256 };
                let want = match kind {
                    0 => DesiredVip::Hold { problem: Problem::new(Reason::MixedFamilies, "", ""), weights: ases },
                    _ => DesiredVip::Exactly(VipSpec {
                        encap: (kind != 1).then(|| encap_for(key.address, salt)),
                        sticky,
                        table_length: TableLength::new(length).unwrap(),
                        ases,
                        keep_unclaimed,
                    }),
                };
                (key, DesiredEntry { frontend: name("f"), vip: want })
            };
            map.into_iter().map(|(key, parts)| entry(key, parts)).collect()
        })
    })
}

fn actual() -> impl Strategy<Value = Actual> {
    (0..6_u8).prop_flat_map(|salt| {
        let have = btree_map((1..7_u8).prop_map(server), any::<u8>(), 0..5);
        btree_map(keys(salt), (prop::option::of(any::<bool>()), any::<bool>(), have), 0..7).prop_map(move |map| {
            let vip = |key: VipKey, (sticky, long, have): (Option<bool>, bool, BTreeMap<IpAddr, u8>)| {
                let ases = have.into_iter().map(|(address, weight)| (address, ActualAs { weight, buckets: 0 }));
                let vip = ActualVip {
                    encap: Some(encap_for(key.address, salt).into()),
                    sticky,
                    table_length: Some(if long { 1024 } else { 256 }),
                    pool_index: None,
                    ases: ases.collect(),
                };
                (VppVip::from(key), vip)
            };
            Actual { vips: map.into_iter().map(|(key, parts)| vip(key, parts)).collect(), ..Actual::default() }
        })
    })
}

/// Applies a step as VPP does; panics if VPP rejects it.
fn execute(actual: &mut Actual, step: &Step) {
    match step {
        Step::AddVip { vip, encap, .. } => {
            let others = actual.vips.range(vips_on_address(vip.address)).map(|(other, have)| (other.port, have.encap));
            for (other, have) in others {
                assert!(other != vip.service.port(), "{step:?}: the VIP exists (-81)");
                assert!(other != 0 && vip.service != Service::AllPorts, "{step:?}: all ports beside a port (-81)");
                assert_eq!(have, Some((*encap).into()), "{step:?}: two encaps on a prefix (-73)");
            }
        }
        Step::RemoveVip { vip, .. } => {
            assert!(actual.vips.get(vip).is_some_and(|have| have.ases.is_empty()), "{step:?}: not there or not empty");
        }
        Step::AddAs { vip, address, .. } => {
            let have = actual.vips.get(&(*vip).into()).expect("the VIP is there (-6)");
            assert!(!have.ases.contains_key(address), "{step:?}: the AS exists (-81)");
        }
        Step::RemoveAs { vip, address, .. } => {
            assert!(actual.vips[vip].ases.contains_key(address), "{step:?}: no such AS (-6)");
        }
        Step::SetWeight { vip, address, from, .. } => {
            assert_eq!(actual.vips[&(*vip).into()].ases[address].weight, *from, "{step:?}: stale");
        }
    }
    actual.apply(step);
}

fn assert_reached(desired: &Desired, before: &Actual, after: &Actual, policy: RemovalPolicy<'_>) {
    for (key, entry) in desired {
        let vip = VppVip::from(*key);
        let (had, have) = (before.vips.get(&vip), after.vips.get(&vip));
        match &entry.vip {
            DesiredVip::Hold { .. } => {
                let servers = |vip: &ActualVip| vip.ases.keys().copied().collect::<Vec<_>>();
                assert_eq!(had.map(servers), have.map(servers), "{key}: a held VIP keeps its servers");
            }
            DesiredVip::Exactly(want) => {
                let Some(have) = have else {
                    assert_eq!(want.encap, None, "{key}: missing");
                    continue;
                };
                assert_eq!(want.mismatch(have), None, "{key}");
                for (address, server) in &want.ases {
                    match (server.weight, have.ases.get(address)) {
                        (DesiredWeight::Presence(present), have) => assert_eq!(present, have.is_some()),
                        (DesiredWeight::Set(weight), Some(have)) => assert_eq!(weight.get(), have.weight),
                        (DesiredWeight::Keep { .. }, Some(have)) => {
                            let had = had.and_then(|had| had.ases.get(address)).map(|had| Weight::clamped(had.weight));
                            assert!(had.is_none_or(|had| had == Weight::clamped(have.weight)), "{key} {address}");
                        }
                        (DesiredWeight::Keep { if_absent: None }, None) => {}
                        (other, None) => panic!("{key}: {address} is missing, entry {other:?}"),
                    }
                }
                let unclaimed = have.ases.keys().any(|address| !want.ases.contains_key(address));
                assert!(!unclaimed || want.keep_unclaimed, "{key}: unclaimed servers stay");
            }
        }
    }
    for (vip, had) in &before.vips {
        if !vip.key().is_some_and(|key| desired.contains_key(&key)) {
            let have = after.vips.get(vip);
            if policy.removes(vip) {
                assert_eq!(have, None, "{vip} is gone");
            } else {
                assert_eq!(have, Some(had), "{vip} is untouched");
            }
        }
    }
}

proptest! {
    #[test]
    fn plan_reaches_desired_state_and_second_plan_is_empty(
        desired in desired(),
        before in actual(),
        owned_vips in prop::collection::btree_set((0..6_u8).prop_flat_map(keys), 0..12),
        remove_foreign in any::<bool>(),
        claims_unknown in prop::bool::weighted(0.1),
        flush in any::<prop::sample::Selector>(),
    ) {
        let owned_vips = owned_vips.into_iter().map(|key| (key, name("old"))).collect();
        let foreign = if remove_foreign { ForeignVips::Remove } else { ForeignVips::Keep };
        let policy = RemovalPolicy { owned_vips: &owned_vips, foreign, claims_unknown };
        // A VIP that is neither desired nor removed makes VPP reject others on its address; not the subject of this test.
        let stuck = |vip: &VppVip| !vip.key().is_some_and(|key| desired.contains_key(&key)) && !policy.removes(vip);
        let held = |vip: &VppVip| vip.key().and_then(|key| desired.get(&key)).is_some_and(|entry| match &entry.vip {
            DesiredVip::Hold { .. } => true,
            DesiredVip::Exactly(want) => want.encap.is_none(),
        });
        let blocked: BTreeSet<IpAddr> =
            before.vips.keys().filter(|vip| stuck(vip) || held(vip)).map(|vip| vip.address).collect();
        let desired: Desired = desired
            .iter()
            .filter(|(key, _)| !blocked.contains(&key.address) || before.vips.contains_key(&VppVip::from(**key)))
            .map(|(key, entry)| (*key, entry.clone()))
            .collect();
        let desired: Desired = desired
            .into_iter()
            .filter(|(key, entry)| {
                let DesiredVip::Exactly(want) = &entry.vip else { return true };
                let have = before.vips.get(&VppVip::from(*key));
                !(blocked.contains(&key.address) && have.is_some_and(|have| want.mismatch(have).is_some()))
            })
            .collect();

        let due: DueFlushes = before
            .vips
            .iter()
            .flat_map(|(vip, have)| have.ases.keys().filter_map(|address| Some((vip.key()?, *address))))
            .filter(|_| flush.select([true, false]))
            .collect();
        let mut after = before.clone();
        for address in addresses(&desired, &before) {
            for step in plan_address(address, &desired, &before, &due, policy).steps() {
                execute(&mut after, step);
            }
        }
        assert_reached(&desired, &before, &after, policy);
        for address in addresses(&desired, &after) {
            let again = plan_address(address, &desired, &after, &DueFlushes::new(), policy);
            prop_assert!(again.is_empty(), "planned again: {again:?}");
        }
    }
}

fn exactly(ases: impl IntoIterator<Item = (IpAddr, DesiredWeight)>) -> DesiredVip {
    DesiredVip::Exactly(VipSpec {
        encap: Some(Encap::Gre4),
        sticky: false,
        table_length: TableLength::DEFAULT,
        ases: ases.into_iter().map(|(address, weight)| (address, want_as(weight))).collect(),
        keep_unclaimed: false,
    })
}

fn have(ases: impl IntoIterator<Item = (IpAddr, u8)>) -> ActualVip {
    ActualVip {
        encap: Some(Encap::Gre4.into()),
        sticky: Some(false),
        table_length: Some(8192),
        pool_index: Some(1),
        ases: ases.into_iter().map(|(address, weight)| (address, ActualAs { weight, buckets: 0 })).collect(),
    }
}

fn set(weight: u8) -> DesiredWeight {
    DesiredWeight::Set(Weight::new(weight).unwrap())
}

fn plan_one(want: DesiredVip, have: ActualVip, due: &DueFlushes) -> AddressPlan {
    let key = VipKey { address: address(1), service: port(80) };
    let desired = Desired::from([(key, DesiredEntry { frontend: name("web"), vip: want })]);
    let actual = Actual { vips: BTreeMap::from([(key.into(), have)]), ..Actual::default() };
    let owned_vips = BTreeMap::new();
    let policy = RemovalPolicy { owned_vips: &owned_vips, foreign: ForeignVips::Keep, claims_unknown: false };
    plan_address(address(1), &desired, &actual, due, policy)
}

fn names(plan: &AddressPlan) -> Vec<&'static str> {
    plan.steps().map(Step::name).collect()
}

#[test]
fn replacement_server_is_added_before_old_server_is_removed() {
    let plan = plan_one(exactly([(server(2), set(10))]), have([(server(1), 10)]), &DueFlushes::new());
    assert_eq!(names(&plan), ["add-as", "remove-as"]);
}

#[test]
fn failover_raises_standby_before_it_lowers_primary() {
    let want = exactly([(server(1), set(0)), (server(2), set(10))]);
    let plan = plan_one(want, have([(server(1), 10), (server(2), 0)]), &DueFlushes::new());
    let raised = plan.changes.iter().map(|step| match step {
        Step::SetWeight { address, .. } => *address,
        other => panic!("{other:?}"),
    });
    assert_eq!(raised.collect::<Vec<_>>(), [server(2), server(1)]);
}

#[test]
fn due_flush_is_sent_if_the_weight_is_unchanged() {
    let key = VipKey { address: address(1), service: port(80) };
    let due = DueFlushes::from([(key, server(1))]);
    let plan = plan_one(exactly([(server(1), set(0))]), have([(server(1), 0)]), &due);
    assert!(matches!(&plan.changes[..], [Step::SetWeight { from: 0, flush: true, .. }]), "{plan:?}");
}

#[test]
fn unread_property_does_not_recreate() {
    let unread = ActualVip { sticky: None, encap: None, table_length: None, ..have([]) };
    assert!(plan_one(exactly([]), unread, &DueFlushes::new()).is_empty());
}

#[test]
fn changed_table_length_recreates_vip_and_servers() {
    let shorter = ActualVip { table_length: Some(1024), ..have([(server(1), 10)]) };
    let plan = plan_one(exactly([(server(1), set(10))]), shorter, &DueFlushes::new());
    assert_eq!(names(&plan), ["remove-as", "remove-vip", "add-vip", "add-as"]);
    assert_eq!(plan.recreates.values().collect::<Vec<_>>(), [&Mismatch::TableLength]);
}

#[test]
fn kept_weight_survives_recreate() {
    let shorter = ActualVip { table_length: Some(1024), ..have([(server(1), 37)]) };
    let keep = DesiredWeight::Keep { if_absent: Some(Weight::ZERO) };
    let plan = plan_one(exactly([(server(1), keep)]), shorter, &DueFlushes::new());
    assert!(matches!(&plan.changes[..], [Step::AddAs { weight, .. }] if weight.get() == 37), "{plan:?}");
}

#[test]
fn no_vip_is_removed_while_claims_are_unknown() {
    let key = VipKey { address: address(1), service: port(80) };
    let owned_vips = BTreeMap::from([(key, name("web"))]);
    let actual = Actual { vips: BTreeMap::from([(key.into(), have([]))]), ..Actual::default() };
    for (claims_unknown, steps) in [(true, vec![]), (false, vec!["remove-vip"])] {
        let policy = RemovalPolicy { owned_vips: &owned_vips, foreign: ForeignVips::Remove, claims_unknown };
        let plan = plan_address(address(1), &Desired::new(), &actual, &DueFlushes::new(), policy);
        assert_eq!(names(&plan), steps);
    }
}

fn nat_vip(ases: impl IntoIterator<Item = (IpAddr, u8)>) -> ActualVip {
    ActualVip { encap: Some(ActualEncap { kind: 3, dscp: 0, target_port: 8080 }), ..have(ases) }
}

proptest! {
    #[test]
    fn address_with_a_nat_vip_is_not_changed(
        desired in desired(),
        before in actual(),
        weightless in any::<bool>(),
        owned_vips in prop::collection::btree_set((0..6_u8).prop_flat_map(keys), 0..12),
        flush in any::<prop::sample::Selector>(),
    ) {
        let vips = before.vips.into_iter().map(|(vip, state)| {
            (vip, ActualVip { encap: nat_vip([]).encap, ..state })
        });
        let actual = Actual { vips: vips.collect(), weightless };
        let owned_vips = owned_vips.into_iter().map(|key| (key, name("old"))).collect();
        let policy = RemovalPolicy { owned_vips: &owned_vips, foreign: ForeignVips::Remove, claims_unknown: false };
        let translated = |(key, entry): (&VipKey, &DesiredEntry)| {
            let vip = entry.vip.clone();
            let vip = if weightless { vip.without_weights(actual.vips.contains_key(&(*key).into())) } else { vip };
            (*key, DesiredEntry { frontend: entry.frontend.clone(), vip })
        };
        let desired: Desired = desired.iter().map(translated).collect();
        let servers = actual.vips.iter().flat_map(|(vip, state)| state.ases.keys().map(|server| (vip.key(), *server)));
        let due: DueFlushes =
            servers.filter_map(|(key, server)| Some((key?, server))).filter(|_| flush.select([true, false])).collect();
        for vip in actual.vips.keys() {
            let plan = plan_address(vip.address, &desired, &actual, &due, policy);
            prop_assert!(plan.is_empty(), "{plan:?}");
        }
    }
}

#[test]
fn nat_vip_of_a_shorter_prefix_is_kept_and_does_not_block_the_address() {
    let key = VipKey { address: address(1), service: port(80) };
    let desired = Desired::from([(key, DesiredEntry { frontend: name("web"), vip: exactly([(server(1), set(10))]) })]);
    let prefix = VppVip { length: 24, ..key.into() };
    let actual = Actual { vips: BTreeMap::from([(prefix, nat_vip([(server(1), 10)]))]), ..Actual::default() };
    let owned_vips = BTreeMap::new();
    let policy = RemovalPolicy { owned_vips: &owned_vips, foreign: ForeignVips::Remove, claims_unknown: false };
    let plan = plan_address(address(1), &desired, &actual, &DueFlushes::new(), policy);
    assert_eq!(names(&plan), ["add-vip", "add-as"]);
}

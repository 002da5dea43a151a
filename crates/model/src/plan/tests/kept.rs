//! Properties of plans on addresses with VIPs that stay: VPP refuses no step, and nothing that serves is lost.

use super::*;

fn l3dsr() -> ActualVip {
    ActualVip { encap: Some(Encap::L3dsr(Dscp::new(7).unwrap()).into()), ..have([(server(9), 10)]) }
}

fn kept(desired: &Desired, actual: &Actual, due: &DueFlushes) -> (AddressPlan, BTreeMap<VipKey, VppVip>) {
    let owned_vips = desired.iter().map(|(key, entry)| (*key, entry.frontend.clone())).collect();
    let policy = RemovalPolicy { owned_vips: &owned_vips, foreign: ForeignVips::Keep, claims_unknown: false };
    let mut plan = plan_address(address(1), desired, actual, due, policy);
    let blocked = plan.keep_blocked(desired, actual, due);
    (plan, blocked)
}

fn entry(vip: DesiredVip) -> DesiredEntry {
    DesiredEntry { frontend: name("web"), vip }
}

#[test]
fn vip_that_vpp_would_refuse_beside_a_foreign_vip_is_kept_and_its_weights_follow() {
    let (service, foreign) =
        (port(80), VppVip { port: 90, ..VipKey { address: address(1), service: port(80) }.into() });
    let key = VipKey { address: address(1), service };
    let desired = Desired::from([(key, entry(exactly([(server(1), set(0)), (server(2), set(10))])))]);
    // Recreated with another encap; the foreign VIP has the old one.
    let actual = Actual {
        vips: BTreeMap::from([
            (key.into(), ActualVip { ases: have([(server(1), 10)]).ases, ..l3dsr() }),
            (foreign, l3dsr()),
        ]),
        ..Actual::default()
    };
    let due = DueFlushes::from([(key, server(1))]);
    let (plan, blocked) = kept(&desired, &actual, &due);
    assert_eq!(blocked, BTreeMap::from([(key, foreign)]));
    assert_eq!(names(&plan), ["set-weight"]);
    assert!(matches!(&plan.changes[..], [Step::SetWeight { to: Weight::ZERO, flush: true, .. }]), "{plan:?}");
    assert!(plan.recreates.is_empty() && plan.removals().is_empty());
    // Beside a VIP of the new encap the recreate succeeds.
    let actual = Actual { vips: BTreeMap::from([(key.into(), l3dsr()), (foreign, have([]))]), ..actual };
    let (plan, blocked) = kept(&desired, &actual, &due);
    assert!(blocked.is_empty());
    assert_eq!(names(&plan), ["remove-as", "remove-vip", "add-vip", "add-as", "add-as"]);
}

#[test]
fn vip_is_not_added_beside_a_vip_of_all_ports_that_stays() {
    let key = VipKey { address: address(1), service: port(80) };
    let every = VppVip::from(VipKey { address: address(1), service: Service::AllPorts });
    let desired = Desired::from([(key, entry(exactly([(server(1), set(10))])))]);
    let actual = Actual { vips: BTreeMap::from([(every, have([]))]), ..Actual::default() };
    let (plan, blocked) = kept(&desired, &actual, &DueFlushes::new());
    assert!(plan.is_empty(), "{plan:?}");
    assert_eq!(blocked, BTreeMap::from([(key, every)]));
    let prefix = VppVip { length: 24, ..every };
    let actual = Actual { vips: BTreeMap::from([(prefix, l3dsr())]), ..Actual::default() };
    let (plan, blocked) = kept(&desired, &actual, &DueFlushes::new());
    assert_eq!(
        (names(&plan), blocked),
        (vec!["add-vip", "add-as"], BTreeMap::new()),
        "a shorter prefix excludes nothing"
    );
}

#[test]
fn vip_that_is_kept_excludes_further_vips() {
    let keys = [80, 81].map(|number| VipKey { address: address(1), service: port(number) });
    let held = DesiredVip::Hold { problem: Problem::new(Reason::MixedFamilies, "", ""), weights: BTreeMap::new() };
    let desired = Desired::from([(keys[0], entry(held)), (keys[1], entry(exactly([(server(1), set(10))])))]);
    let actual = Actual { vips: keys.map(|key| (key.into(), l3dsr())).into(), ..Actual::default() };
    let (plan, blocked) = kept(&desired, &actual, &DueFlushes::new());
    assert!(plan.is_empty(), "{plan:?}");
    assert_eq!(blocked, BTreeMap::from([(keys[1], keys[0].into())]));
}

#[test]
fn vip_without_backends_is_recreated_with_the_encap_of_its_address() {
    let keys = [80, 81].map(|number| VipKey { address: address(1), service: port(number) });
    let DesiredVip::Exactly(with_backends) = exactly([(server(1), set(10))]) else { unreachable!() };
    let empty = VipSpec { encap: None, ases: BTreeMap::new(), ..with_backends.clone() };
    let vips = [with_backends, empty].map(|spec| entry(DesiredVip::Exactly(spec)));
    let desired: Desired = keys.into_iter().zip(vips).collect();
    let short_table = ActualVip { table_length: Some(256), ..l3dsr() };
    let actual = Actual { vips: BTreeMap::from([(keys[1].into(), short_table)]), ..Actual::default() };
    let (plan, blocked) = kept(&desired, &actual, &DueFlushes::new());
    assert!(blocked.is_empty(), "{blocked:?}");
    let is_gre4 = |step: &Step| matches!(step, Step::AddVip { encap: Encap::Gre4, .. });
    assert!(plan.adds.len() == 2 && plan.adds.iter().all(is_gre4), "{plan:?}");
}

proptest! {
    #[test]
    fn vpp_refuses_no_step_beside_vips_that_stay_and_no_vip_that_serves_is_lost(
        desired in desired(),
        before in actual(),
        owned_vips in prop::collection::btree_set((0..6_u8).prop_flat_map(keys), 0..12),
        claims_unknown in prop::bool::weighted(0.2),
    ) {
        let owned_vips = owned_vips.into_iter().map(|key| (key, name("old"))).collect();
        let policy = RemovalPolicy { owned_vips: &owned_vips, foreign: ForeignVips::Keep, claims_unknown };
        let mut after = before.clone();
        for address in addresses(&desired, &before) {
            let mut plan = plan_address(address, &desired, &before, &DueFlushes::new(), policy);
            plan.keep_blocked(&desired, &before, &DueFlushes::new());
            plan.steps().for_each(|step| execute(&mut after, step));
        }
        for vip in before.vips.keys().filter(|vip| vip.key().is_some_and(|key| desired.contains_key(&key))) {
            prop_assert!(after.vips.contains_key(vip), "{vip} is lost");
        }
    }
}

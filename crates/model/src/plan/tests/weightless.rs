//! Properties of plans for a VPP without weights, where application servers with weight 0 are absent.

use super::*;

/// The same state in a VPP without weights.
fn weightless(actual: Actual) -> Actual {
    let equal = |mut vip: ActualVip| {
        vip.ases.values_mut().for_each(|server| server.weight = Weight::PRESENT.get());
        vip
    };
    Actual { vips: actual.vips.into_iter().map(|(id, vip)| (id, equal(vip))).collect(), weightless: true }
}

fn translated(desired: &Desired, actual: &Actual) -> Desired {
    let without_weights = |(key, entry): (&VipKey, &DesiredEntry)| {
        let exists = actual.vips.contains_key(&VppVip::from(*key));
        (*key, DesiredEntry { frontend: entry.frontend.clone(), vip: entry.vip.clone().without_weights(exists) })
    };
    desired.iter().map(without_weights).collect()
}

fn plan_all(desired: &Desired, actual: &Actual, due: &DueFlushes) -> Vec<Step> {
    let owned_vips = BTreeMap::new();
    let policy = RemovalPolicy { owned_vips: &owned_vips, foreign: ForeignVips::Remove, claims_unknown: false };
    let plans = addresses(desired, actual).into_iter().map(|at| plan_address(at, desired, actual, due, policy));
    plans.flat_map(|plan| plan.steps().cloned().collect::<Vec<_>>()).collect()
}

proptest! {
    #[test]
    fn weightless_plan_reaches_desired_presence_and_second_plan_is_empty(
        desired in desired(),
        before in actual(),
        flush in any::<prop::sample::Selector>(),
    ) {
        let before = weightless(before);
        let entry = translated(&desired, &before);
        let servers = desired.iter().flat_map(|(key, entry)| match &entry.vip {
            DesiredVip::Exactly(want) => want.ases.keys().map(|address| (*key, *address)).collect::<Vec<_>>(),
            DesiredVip::Hold { .. } => Vec::new(),
        });
        let due: DueFlushes = servers.filter(|_| flush.select([true, false])).collect();
        let mut after = before.clone();
        for step in plan_all(&entry, &before, &due) {
            match &step {
                Step::SetWeight { .. } => prop_assert!(false, "{step:?}"),
                Step::AddAs { weight, .. } => prop_assert_eq!(*weight, Weight::PRESENT),
                _ => {}
            }
            after.apply(&step);
        }
        for (key, entry) in &desired {
            let Some(have) = after.vips.get(&VppVip::from(*key)) else { continue };
            let existed = before.vips.contains_key(&VppVip::from(*key));
            let (DesiredVip::Exactly(VipSpec { ases, .. }) | DesiredVip::Hold { weights: ases, .. }) = &entry.vip;
            for (address, server) in ases {
                if let DesiredWeight::Set(weight) = server.weight && (existed || entry.vip.problem().is_none()) {
                    prop_assert_eq!(have.ases.contains_key(address), weight > Weight::ZERO, "{} {}", key, address);
                }
            }
        }
        let again = plan_all(&translated(&desired, &after), &after, &DueFlushes::new());
        prop_assert!(again.is_empty(), "planned again: {again:?}");
    }
}

fn plan_present(want: DesiredVip, have: ActualVip, due: &DueFlushes) -> AddressPlan {
    plan_one(want.without_weights(true), have, due)
}

#[test]
fn standby_is_added_before_primary_is_removed_and_only_due_flushes_are_sent() {
    let key = VipKey { address: address(1), service: port(80) };
    for due in [DueFlushes::new(), DueFlushes::from([(key, server(1))])] {
        let want = exactly([(server(1), set(0)), (server(2), set(10))]);
        let plan = plan_present(want, have([(server(1), 1)]), &due);
        assert_eq!(names(&plan), ["add-as", "remove-as"]);
        let flushed = plan.steps().any(|step| matches!(step, Step::RemoveAs { flush: true, .. }));
        assert_eq!(flushed, !due.is_empty());
    }
    let plan = plan_present(exactly([(server(1), set(0))]), have([(server(1), 1), (server(2), 1)]), &DueFlushes::new());
    assert_eq!(names(&plan), ["remove-as", "remove-as"]);
    let removed: Vec<_> = plan.removals().into_iter().map(|removal| removal.server).collect();
    assert_eq!(removed, [Some(server(2))], "resting at weight 0 is not a removal");
}

#[test]
fn due_flush_is_sent_if_the_server_was_removed_before() {
    let key = VipKey { address: address(1), service: port(80) };
    let due = DueFlushes::from([(key, server(1))]);
    let plan = plan_present(exactly([(server(1), set(0))]), have([]), &due);
    assert!(matches!(&plan.changes[..], [Step::RemoveAs { weight: 0, flush: true, .. }]), "{plan:?}");
}

#[test]
fn kept_weight_is_kept_presence() {
    let keep = DesiredWeight::Keep { if_absent: Some(Weight::DEFAULT) };
    for servers in [vec![], vec![(server(1), 1)]] {
        assert!(plan_present(exactly([(server(1), keep)]), have(servers), &DueFlushes::new()).is_empty());
    }
}

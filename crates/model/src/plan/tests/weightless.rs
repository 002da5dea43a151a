//! The same for a VPP without weights: what has weight 0 is not there, and anything else is.

use super::*;

/// What a VPP without weights would show of the same.
fn weightless(actual: Actual) -> Actual {
    let equal = |mut vip: ActualVip| {
        vip.ases.values_mut().for_each(|of| of.weight = Weight::PRESENT.get());
        vip
    };
    Actual { vips: actual.vips.into_iter().map(|(id, vip)| (id, equal(vip))).collect(), weightless: true }
}

fn translated(desired: &Desired, actual: &Actual) -> Desired {
    let without_weights = |(key, wanted): (&VipKey, &Wanted)| {
        let exists = actual.vips.contains_key(&VppVip::from(*key));
        (*key, Wanted { frontend: wanted.frontend.clone(), want: wanted.want.clone().without_weights(exists) })
    };
    desired.iter().map(without_weights).collect()
}

fn plan_all(desired: &Desired, actual: &Actual, due: &DueFlushes) -> Vec<Step> {
    let ours = BTreeMap::new();
    let policy = RemovalPolicy { ours: &ours, foreign: ForeignVips::Remove, claims_unknown: false };
    let plans = addresses(desired, actual).into_iter().map(|at| plan_address(at, desired, actual, due, policy));
    plans.flat_map(|plan| plan.steps().cloned().collect::<Vec<_>>()).collect()
}

proptest! {
    #[test]
    fn a_plan_without_weights_leads_to_the_desired_presence_and_then_there_is_none(
        desired in desired(),
        before in actual(),
        flush in any::<prop::sample::Selector>(),
    ) {
        let before = weightless(before);
        let wanted = translated(&desired, &before);
        let servers = desired.iter().flat_map(|(key, wanted)| match &wanted.want {
            Want::Exactly(want) => want.ases.keys().map(|address| (*key, *address)).collect::<Vec<_>>(),
            Want::Hold { .. } => Vec::new(),
        });
        let due: DueFlushes = servers.filter(|_| flush.select([true, false])).collect();
        let mut after = before.clone();
        for step in plan_all(&wanted, &before, &due) {
            match &step {
                Step::SetWeight { .. } => prop_assert!(false, "{step:?}"),
                Step::AddAs { weight, .. } => prop_assert_eq!(*weight, Weight::PRESENT),
                _ => {}
            }
            after.apply(&step);
        }
        for (key, wanted) in &desired {
            let Some(have) = after.vips.get(&VppVip::from(*key)) else { continue };
            let existed = before.vips.contains_key(&VppVip::from(*key));
            let (Want::Exactly(LbVip { ases, .. }) | Want::Hold { weights: ases, .. }) = &wanted.want;
            for (address, of) in ases {
                if let WantWeight::Set(weight) = of.weight && (existed || wanted.want.problem().is_none()) {
                    prop_assert_eq!(have.ases.contains_key(address), weight > Weight::ZERO, "{} {}", key, address);
                }
            }
        }
        let again = plan_all(&translated(&desired, &after), &after, &DueFlushes::new());
        prop_assert!(again.is_empty(), "planned again: {again:?}");
    }
}

fn plan_present(want: Want, have: ActualVip, due: &DueFlushes) -> AddressPlan {
    plan_one(want.without_weights(true), have, due)
}

#[test]
fn the_standby_comes_before_the_primary_goes_and_only_what_is_due_is_flushed() {
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
    let gone: Vec<_> = plan.removals().into_iter().map(|of| of.server).collect();
    assert_eq!(gone, [Some(server(2))], "one that rests at weight 0 is no removal");
}

#[test]
fn a_due_flush_is_paid_even_where_the_server_went_before() {
    let key = VipKey { address: address(1), service: port(80) };
    let due = DueFlushes::from([(key, server(1))]);
    let plan = plan_present(exactly([(server(1), set(0))]), have([]), &due);
    assert!(matches!(&plan.changes[..], [Step::RemoveAs { weight: 0, flush: true, .. }]), "{plan:?}");
}

#[test]
fn a_weight_that_is_kept_is_a_presence_that_is_kept() {
    let keep = WantWeight::Keep { if_absent: Some(Weight::DEFAULT) };
    for servers in [vec![], vec![(server(1), 1)]] {
        assert!(plan_present(exactly([(server(1), keep)]), have(servers), &DueFlushes::new()).is_empty());
    }
}

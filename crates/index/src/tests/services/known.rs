//! Unknown is not empty: slices that have not been read or do not decode.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::json;

use super::{
    super::fixture::{IndexFixture, NODE, at, frontend, name, vip, with},
    DRAINING, NOT_READY, READY, backends, broken, endpoints, fixture, following, members, nodes, slice, stored,
    workers,
};
use crate::{Coverage, Index, IndexOptions, Object};
use maglev_model::{config::Kind, problem::Reason};

/// A fixture that has listed everything but EndpointSlices.
fn without_slices(frontend: Object) -> IndexFixture {
    let mut fixture = IndexFixture::new(workers().into_iter().chain([frontend]).collect());
    fixture.index.unlist(Kind::EndpointSlice);
    fixture.index.batch().publish();
    fixture
}

fn covered(services: &[&str]) -> Coverage {
    Coverage::Services(Arc::new(services.iter().map(|service| name(service)).collect::<BTreeSet<_>>()))
}

/// Applies a complete list of the slices of `services`.
fn list(fixture: &mut IndexFixture, services: &[&str], slices: Vec<Object>) {
    let mut batch = fixture.index.batch();
    batch.reset_slices(covered(services), slices);
    batch.publish();
}

#[test]
fn frontend_is_held_until_its_slices_are_listed() {
    let mut fixture = without_slices(following(&nodes()));
    assert_eq!(fixture.standing("shop/web"), "held EndpointsUnknown spec.pools[primary].service");
    assert_eq!(members(&fixture), ["shop/web@unknown - 0?"]);
    assert!(fixture.problems(Kind::Frontend, "shop/web").is_empty(), "a transient state is no problem");
    list(&mut fixture, &["shop/api"], vec![]);
    assert_eq!(fixture.standing("shop/web"), "held EndpointsUnknown spec.pools[primary].service");
    list(&mut fixture, &["shop/api", "shop/web"], vec![stored(slice("web-1", 1, &[("10.0.0.1", "w1", READY)]))]);
    assert_eq!(fixture.standing("shop/web"), "serving");
    assert_eq!(members(&fixture), ["node:w1 192.0.2.1 10"]);
}

#[test]
fn other_frontends_do_not_need_slices() {
    let mut fixture = without_slices(following(&nodes()));
    fixture.apply(at("shop/a", "10.0.0.7"));
    fixture.apply(frontend("shop/plain", 1, &vip("203.0.113.5", 80, &["a"])));
    assert_eq!(fixture.standing("shop/plain"), "serving");
    assert_eq!(fixture.member_names("shop/plain"), ["shop/a"]);
    assert_eq!(fixture.index.awaited().count(), 0);
}

#[test]
fn program_without_services_holds_with_a_problem() {
    let (mut index, config_rx) =
        Index::new(IndexOptions { node_name: Some(NODE.to_owned()), ..IndexOptions::default() });
    let mut batch = index.batch();
    let objects: Vec<Object> = workers().into_iter().chain([following(&nodes())]).collect();
    for kind in Kind::ALL {
        batch.reset(kind, objects.iter().filter(|object| object.kind() == kind).cloned().collect());
    }
    batch.publish();
    let fixture = IndexFixture { index, config_rx };
    assert_eq!(fixture.standing("shop/web"), "held ServicesDisabled spec.pools[primary].service");
    let reasons: Vec<Reason> =
        fixture.reasons(Kind::Frontend, "shop/web").into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(reasons, [Reason::ServicesDisabled]);
}

#[test]
fn pools_after_an_unknown_one_do_not_take_over() {
    let pools = json!([
        {"name": "primary", "service": {"name": "web", "targets": "Nodes"}},
        {"name": "spare", "backends": [{"name": "a"}]},
    ]);
    let mut fixture = without_slices(frontend("shop/web", 1, &with(vip("203.0.113.1", 80, &[]), "pools", pools)));
    fixture.apply(at("shop/a", "10.0.0.7"));
    let spare = |fixture: &IndexFixture| fixture.frontend("shop/web").pools[1].members[0].clone();
    assert!(matches!(spare(&fixture).target, maglev_model::config::MemberTarget::Unreadable { address: Some(_) }));
    list(&mut fixture, &["shop/web"], vec![stored(slice("web-1", 1, &[("10.0.0.1", "w1", READY)]))]);
    assert!(matches!(spare(&fixture).target, maglev_model::config::MemberTarget::Backend(_)));
    assert_eq!(fixture.standing("shop/web"), "serving");
}

#[test]
fn undecodable_slice_withdraws_nothing() {
    let rows = [("10.0.0.1", "w1", READY), ("10.0.0.2", "w2", READY), ("10.0.0.3", "w3", READY)];
    for settings in [nodes(), endpoints()] {
        let mut fixture = fixture(&settings, vec![slice("web-1", 1, &rows[..2]), slice("web-2", 1, &rows[2..])]);
        assert_eq!(members(&fixture).len(), 3);
        fixture.apply(stored(broken("web-2")));
        let names = fixture.member_names("shop/web");
        assert_eq!(names.last().unwrap(), "shop/web@unknown", "its servers stay in VPP: {names:?}");
        assert_eq!(names.len(), 3);
        assert_eq!(fixture.standing("shop/web"), "serving", "readable slices are followed");
        let reasons = fixture.reasons(Kind::Frontend, "shop/web");
        assert_eq!(reasons, [(Reason::EndpointSliceUnreadable, "spec.pools[primary].service".to_owned())]);
        // It may have the ready endpoints of these servers.
        let other = [("10.0.0.1", "w1", DRAINING), ("10.0.0.2", "w2", NOT_READY)];
        fixture.apply(stored(slice("web-1", 2, &other)));
        let kept = members(&fixture);
        assert_eq!(kept.len(), 3);
        assert!(kept.iter().all(|member| member.ends_with('?')), "{kept:?}");
        fixture.delete(Kind::EndpointSlice, "shop/web-2");
        assert_eq!(members(&fixture).len(), 2);
    }
}

#[test]
fn undecodable_address_type_does_not_change_the_family() {
    let six = slice("web-6", 1, &[("2001:db8::1", "w1", READY)]);
    let mut fixture = fixture(&endpoints(), vec![slice("web-4", 1, &[("10.0.0.1", "w1", READY)]), six]);
    let mut odd = broken("web-4");
    fixture.apply(stored(odd.clone()));
    assert_eq!(members(&fixture), ["shop/web@unknown - 0?"]);
    odd.address_type = None;
    fixture.apply(stored(odd));
    let names = fixture.member_names("shop/web");
    assert_eq!(names.last().unwrap(), "shop/web@unknown", "{names:?}");
}

#[test]
fn slices_are_forgotten_only_when_they_are_not_watched() {
    let mut fixture = fixture(&nodes(), vec![slice("web-1", 1, &[("10.0.0.1", "w1", READY)])]);
    list(&mut fixture, &["shop/web"], vec![]);
    assert!(members(&fixture).is_empty(), "a shorter list is known");
    assert_eq!(fixture.standing("shop/web"), "serving");
    list(&mut fixture, &["shop/web"], vec![stored(slice("web-1", 2, &[("10.0.0.1", "w1", READY)]))]);
    fixture.index.unlist(Kind::EndpointSlice);
    fixture.index.batch().publish();
    assert_eq!(fixture.standing("shop/web"), "held EndpointsUnknown spec.pools[primary].service");
    assert!(backends(&fixture).is_empty());
}

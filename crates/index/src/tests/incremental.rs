//! Tests of incremental resolution: a change resolves the object and its users only, and equal results keep their `Arc`.

use std::sync::Arc;

use serde_json::json;

use super::fixture::{IndexFixture, at, check, frontend, name, object, probed, tcp, vip, with};
use crate::{Object, Work};
use maglev_model::config::{Check, Kind, MemberTarget};

/// 30 Frontends with their own Backend and HealthCheck each; `v0` to `v9` share an address.
fn many() -> Vec<Object> {
    (0..30)
        .flat_map(|i| {
            let address = if i < 10 { "203.0.113.1".to_owned() } else { format!("203.0.113.{i}") };
            [
                tcp(&format!("shop/c{i}")),
                probed(&format!("shop/b{i}"), &format!("10.0.0.{}", i + 1), &format!("c{i}")),
                frontend(&format!("shop/v{i}"), 1, &vip(&address, 80 + i, &[&format!("b{i}")])),
            ]
        })
        .collect()
}

/// The work that `act` causes.
fn cost(fixture: &mut IndexFixture, act: impl FnOnce(&mut IndexFixture)) -> Work {
    let before = fixture.index.work();
    act(fixture);
    let after = fixture.index.work();
    Work {
        health_checks: after.health_checks - before.health_checks,
        backends: after.backends - before.backends,
        frontends: after.frontends - before.frontends,
        addresses: after.addresses - before.addresses,
        claims: after.claims - before.claims,
        nodes: after.nodes - before.nodes,
        grants: after.grants - before.grants,
        endpoints: after.endpoints - before.endpoints,
        published: after.published - before.published,
    }
}

#[test]
fn changed_backend_resolves_itself_and_its_frontends() {
    let mut fixture = IndexFixture::new(many());
    let cost = cost(&mut fixture, |fixture| {
        fixture.apply(probed("shop/b3", "10.0.9.9", "c3"));
    });
    assert_eq!(cost, Work { backends: 1, frontends: 1, published: 1, ..Work::default() });
}

#[test]
fn changed_health_check_resolves_its_users() {
    let mut fixture = IndexFixture::new(many());
    let cost = cost(&mut fixture, |fixture| {
        fixture.apply(check("shop/c3", &json!({"type": "TCP", "port": 81})));
    });
    assert_eq!(cost, Work { health_checks: 1, backends: 1, frontends: 1, published: 1, ..Work::default() });
}

#[test]
fn changed_frontend_with_same_claim_resolves_itself_only() {
    let mut fixture = IndexFixture::new(many());
    let cost = cost(&mut fixture, |fixture| {
        let spec = with(vip("203.0.113.1", 83, &["b3", "b4"]), "tableLength", 256.into());
        fixture.apply(object(Kind::Frontend, "shop/v3", 1, 2, &spec));
    });
    assert_eq!(cost, Work { frontends: 1, published: 1, ..Work::default() });
    assert_eq!(fixture.member_names("shop/v3"), ["shop/b3", "shop/b4"]);
}

#[test]
fn changed_claim_or_encap_compares_the_claims_on_its_address() {
    let mut fixture = IndexFixture::new(many());
    let new = cost(&mut fixture, |fixture| {
        fixture.apply(frontend("shop/new", 2, &vip("203.0.113.1", 8080, &["b3"])));
    });
    assert_eq!(new, Work { frontends: 1, addresses: 1, claims: 11, published: 1, ..Work::default() });
    let family = cost(&mut fixture, |fixture| {
        fixture.apply(probed("shop/b20", "2001:db8::20", "c20"));
    });
    assert_eq!(family, Work { backends: 1, frontends: 1, addresses: 1, claims: 1, published: 1, ..Work::default() });
}

#[test]
fn equal_objects_cost_and_publish_nothing() {
    let mut fixture = IndexFixture::new(many());
    let before = fixture.config();
    let all = cost(&mut fixture, |fixture| {
        for object in many() {
            assert!(fixture.apply(object).is_empty());
        }
        assert!(fixture.list_all(many()).is_empty());
    });
    assert_eq!(all, Work::default());
    let after = fixture.config();
    for (name, frontend) in &before.frontends {
        assert!(Arc::ptr_eq(frontend, &after.frontends[name]));
    }
}

#[test]
fn equal_results_keep_their_arc() {
    let mut fixture = IndexFixture::new(many());
    let before = fixture.config();
    fixture.apply(probed("shop/b3", "10.0.9.9", "c3"));
    let after = fixture.config();
    let changed = |kept: usize| format!("{kept} kept");
    let kept = before.frontends.iter().filter(|(name, old)| Arc::ptr_eq(old, &after.frontends[*name])).count();
    assert_eq!(changed(kept), "29 kept");
    let kept = before.backends.iter().filter(|(name, old)| Arc::ptr_eq(old, &after.backends[*name])).count();
    assert_eq!(changed(kept), "29 kept");
    let kept = before.health_checks.iter().filter(|(name, old)| Arc::ptr_eq(old, &after.health_checks[*name])).count();
    assert_eq!(changed(kept), "30 kept");
    assert!(Arc::ptr_eq(&before.node, &after.node));
}

#[test]
fn object_is_shared_by_its_users() {
    let fixture = IndexFixture::new(many());
    let config = fixture.config();
    let MemberTarget::Backend(member) = &fixture.members("shop/v3")[0].target else { panic!("b3 is readable") };
    assert!(Arc::ptr_eq(member, &config.backends[&name("shop/b3")]));
    let Check::Probe(check) = &member.check else { panic!("c3 is usable") };
    assert!(Arc::ptr_eq(check, &config.health_checks[&name("shop/c3")]));
}

#[test]
fn new_generation_with_equal_spec_is_published() {
    let mut fixture =
        IndexFixture::new(vec![at("shop/a", "10.0.0.1"), frontend("shop/web", 1, &vip("203.0.113.1", 80, &["a"]))]);
    let spec = json!({"address": "10.0.0.1"});
    fixture.apply(object(Kind::Backend, "shop/a", 0, 2, &spec));
    assert_eq!(fixture.backend("shop/a").revision.generation, 2);
    let MemberTarget::Backend(member) = &fixture.members("shop/web")[0].target else { panic!("a is readable") };
    assert_eq!(member.revision.generation, 2);
}

#[test]
fn changed_unsupported_check_is_published() {
    let icmp = |interval: &str| check("shop/c", &json!({"type": "ICMP", "interval": interval}));
    let mut fixture = IndexFixture::new(vec![icmp("2s")]);
    fixture.apply(icmp("3s"));
    assert_eq!(fixture.config().health_checks[&name("shop/c")].interval.as_secs(), 3);
}

#[test]
fn dropped_references_cost_nothing() {
    let mut fixture = IndexFixture::new(many());
    fixture.apply(frontend("shop/v3", 1, &vip("203.0.113.1", 83, &["b4"])));
    fixture.apply(at("shop/b5", "10.0.0.6"));
    let given_up = cost(&mut fixture, |fixture| {
        fixture.apply(probed("shop/b3", "10.0.9.9", "c3"));
        fixture.apply(check("shop/c5", &json!({"type": "TCP", "port": 81})));
    });
    assert_eq!(given_up, Work { health_checks: 1, backends: 1, published: 2, ..Work::default() });
}

//! Tests of the limits of AddressPolicies, and of the cost of a change with many of them.

use serde_json::{Value, json};

use super::fixture::{IndexFixture, at, check, frontend, name, object, policy, probed, vip, with};
use crate::{Object, Work};
use maglev_model::{
    config::{Check, Kind},
    problem::Reason,
};

fn limited(limits: &Value) -> Object {
    policy(
        "limits",
        &json!({"frontends": {"addresses": ["0.0.0.0/0"]}, "backends": {"addresses": ["0.0.0.0/0"]}, "limits": limits}),
    )
}

fn small(address: &str) -> Value {
    with(vip(address, 80, &["b"]), "tableLength", 256.into())
}

#[test]
fn youngest_frontends_exceed_the_limit() {
    let mut fixture = IndexFixture::new(vec![
        limited(&json!({"frontends": 2})),
        at("shop/b", "10.0.0.1"),
        frontend("shop/old", 1, &small("203.0.113.1")),
        frontend("shop/young", 3, &small("203.0.113.3")),
        frontend("other/web", 3, &small("203.0.113.4")),
    ]);
    assert_eq!(fixture.standing("shop/young"), "serving");
    fixture.apply(frontend("shop/mid", 2, &small("203.0.113.2")));
    assert_eq!(fixture.standing("shop/young"), "held QuotaExceeded spec");
    assert_eq!(fixture.standing("shop/mid"), "serving");
    assert_eq!(fixture.standing("other/web"), "serving", "limits are those of each namespace");
    let message = &fixture.problems(Kind::Frontend, "shop/young")[0].message;
    assert!(message.contains("limit of 2 Frontends") && message.contains("limits.frontends"), "{message}");
    // The largest limit applies.
    fixture.apply(policy("more", &json!({"namespaces": {"names": ["shop"]}, "limits": {"frontends": 3}})));
    assert_eq!(fixture.standing("shop/young"), "serving");
    fixture.delete(Kind::AddressPolicy, "more");
    assert_eq!(fixture.standing("shop/young"), "held QuotaExceeded spec");
    fixture.delete(Kind::Frontend, "shop/old");
    assert_eq!(fixture.standing("shop/young"), "serving");
}

#[test]
fn frontend_beyond_the_limit_claims_no_address() {
    let fixture = IndexFixture::new(vec![
        limited(&json!({"frontends": 1})),
        at("shop/b", "10.0.0.1"),
        at("other/b", "10.0.0.1"),
        frontend("shop/one", 1, &small("203.0.113.1")),
        frontend("shop/two", 2, &small("203.0.113.2")),
        frontend("other/two", 3, &small("203.0.113.2")),
    ]);
    assert_eq!(fixture.standing("other/two"), "serving");
    assert_eq!(fixture.standing("shop/two"), "withdrawn AddressOwnedByOtherNamespace spec.address");
}

#[test]
fn table_entries_are_limited() {
    let mut fixture = IndexFixture::new(vec![
        limited(&json!({"tableEntries": 768})),
        at("shop/b", "10.0.0.1"),
        frontend("shop/old", 1, &small("203.0.113.1")),
        frontend("shop/big", 2, &with(small("203.0.113.2"), "tableLength", 1024.into())),
        frontend("shop/young", 3, &small("203.0.113.3")),
    ]);
    assert_eq!(fixture.standing("shop/big"), "held QuotaExceeded spec.tableLength");
    assert_eq!(fixture.standing("shop/young"), "serving");
    fixture.apply(object(Kind::Frontend, "shop/big", 2, 2, &with(small("203.0.113.2"), "tableLength", 256.into())));
    assert_eq!(fixture.standing("shop/big"), "serving");
}

#[test]
fn backends_and_probes_are_limited() {
    let second = json!({"type": "TCP", "port": 80, "interval": "1s"});
    let mut objects = vec![limited(&json!({"backends": 3, "probesPerSecond": 2})), check("shop/c", &second)];
    let backend = |i: usize| {
        object(
            Kind::Backend,
            &format!("shop/b{i}"),
            i64::try_from(i).unwrap(),
            1,
            &json!({"address": format!("10.0.0.{i}"), "healthCheckRef": {"name": "c"}}),
        )
    };
    objects.extend((1..=4).map(backend));
    let mut fixture = IndexFixture::new(objects);
    assert!(matches!(fixture.health_check("shop/b2"), Check::Probe(_)));
    assert!(
        matches!(fixture.health_check("shop/b3"), Check::Missing(problem) if problem.reason == Reason::QuotaExceeded)
    );
    assert_eq!(fixture.reasons(Kind::Backend, "shop/b4"), [(Reason::QuotaExceeded, "spec".to_owned())]);
    assert!(!fixture.config().backends.contains_key(&name("shop/b4")));

    fixture.apply(check("shop/c", &json!({"type": "TCP", "port": 80, "interval": "2s", "downInterval": "1600ms"})));
    assert!(matches!(fixture.health_check("shop/b3"), Check::Probe(_)), "1.6 s is the shortest interval");
    fixture.delete(Kind::Backend, "shop/b1");
    assert_eq!(fixture.reasons(Kind::Backend, "shop/b4"), []);
    assert!(matches!(fixture.health_check("shop/b4"), Check::Probe(_)));
}

#[test]
fn limit_that_audit_does_not_enforce_is_reported() {
    let fixture = IndexFixture::new(vec![
        limited(&json!({"backends": 0, "frontends": 0})),
        policy("audit", &json!({"mode": "Audit"})),
        at("shop/b", "10.0.0.1"),
        frontend("shop/web", 1, &small("203.0.113.1")),
    ]);
    assert_eq!(fixture.standing("shop/web"), "serving");
    assert_eq!(fixture.reasons(Kind::Frontend, "shop/web")[0].0, Reason::PolicyViolation);
    assert_eq!(fixture.reasons(Kind::Backend, "shop/b")[0].0, Reason::PolicyViolation);
}

#[test]
fn changed_backend_costs_the_same_with_many_policies() {
    let policies = (0..100).map(|i| {
        let spec = json!({"backends": {"addresses": [format!("10.{i}.0.0/16")]}, "limits": {"backends": 1000}});
        policy(&format!("p{i}"), &spec)
    });
    let backends = (0..30).map(|i| at(&format!("shop/b{i}"), &format!("10.{i}.0.1")));
    let mut fixture = IndexFixture::new(policies.chain(backends).collect());
    let before = fixture.index.work();
    fixture.apply(probed("shop/b3", "10.99.0.9", "none"));
    let after = fixture.index.work();
    assert_eq!(after.backends - before.backends, 1);
    assert_eq!(Work { grants: after.grants, ..Work::default() }, Work { grants: before.grants, ..Work::default() });
    fixture.apply(at("new/b", "10.1.0.1"));
    assert_eq!(fixture.index.work().grants - after.grants, 1, "a new namespace is compiled once");
}

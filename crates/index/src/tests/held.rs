//! Tests of held Frontends.

use serde_json::{Value, json};

use super::fixture::{IndexFixture, at, backend, frontend, lb_config, name, policy, vip, with, without};
use crate::IndexOptions;
use maglev_model::{
    config::{Kind, MemberTarget},
    problem::Reason,
    vip::Encap,
};

const VIP: &str = "203.0.113.1";

fn nat(spec: Value) -> Value {
    with(spec, "encap", json!({"type": "NAT", "nat": {"targetPort": 8080}}))
}

fn l3dsr(spec: Value) -> Value {
    with(spec, "encap", json!({"type": "L3DSR", "l3dsr": {"dscp": 7}}))
}

#[test]
fn mixed_families_hold_the_frontend() {
    let mut fixture = IndexFixture::new(vec![
        at("shop/four", "10.0.0.1"),
        at("shop/six", "2001:db8::1"),
        frontend("shop/web", 1, &vip(VIP, 80, &["four", "six"])),
    ]);
    assert_eq!(fixture.standing("shop/web"), "held MixedFamilies spec.pools");
    assert_eq!(fixture.frontend("shop/web").encap, None);
    assert_eq!(fixture.member_names("shop/web"), ["shop/four", "shop/six"]);
    let message = &fixture.problems(Kind::Frontend, "shop/web")[0].message;
    assert!(message.contains("\"four\" is 10.0.0.1, \"six\" is 2001:db8::1"), "{message}");
    fixture.delete(Kind::Backend, "shop/four");
    assert_eq!(fixture.standing("shop/web"), "serving");
    assert_eq!(fixture.frontend("shop/web").encap, Some(Encap::Gre6));
}

#[test]
fn held_frontend_does_not_conflict_by_backend_family() {
    let mut fixture = IndexFixture::new(vec![
        at("shop/four", "10.0.0.1"),
        at("shop/six", "2001:db8::1"),
        frontend("shop/old", 1, &vip(VIP, 80, &["four"])),
        frontend("shop/new", 2, &vip(VIP, 443, &["four"])),
    ]);
    fixture.apply(super::fixture::object(Kind::Frontend, "shop/old", 1, 2, &vip(VIP, 80, &["six", "four"])));
    assert_eq!(fixture.standing("shop/old"), "held MixedFamilies spec.pools");
    assert_eq!(fixture.standing("shop/new"), "serving");
}

#[test]
fn encap_family_mismatch_holds_the_frontend() {
    let six = "2001:db8:f::1";
    for (spec, standing) in [
        (l3dsr(vip(VIP, 80, &["four"])), "serving"),
        (l3dsr(vip(VIP, 80, &["six"])), "held EncapFamilyMismatch spec.encap"),
        (l3dsr(vip(six, 80, &["four"])), "held EncapFamilyMismatch spec.encap"),
        (l3dsr(vip(six, 80, &["six"])), "held EncapFamilyMismatch spec.encap"),
        (nat(vip(VIP, 80, &["four"])), "held EncapUnsupported spec.encap.type"),
        (nat(vip(VIP, 80, &["six"])), "held EncapUnsupported spec.encap.type"),
        (nat(vip(six, 80, &["six"])), "held EncapUnsupported spec.encap.type"),
        (nat(vip(six, 80, &["four"])), "held EncapUnsupported spec.encap.type"),
        (vip(six, 80, &["four"]), "serving"),
        (vip(VIP, 80, &["six"]), "serving"),
    ] {
        let fixture = IndexFixture::new(vec![
            at("shop/four", "10.0.0.1"),
            at("shop/six", "2001:db8::1"),
            frontend("shop/web", 1, &spec),
        ]);
        assert_eq!(fixture.standing("shop/web"), standing, "{spec}");
        assert_eq!(fixture.frontend("shop/web").encap.is_some(), standing == "serving", "{spec}");
    }
}

#[test]
fn stored_nat_frontend_is_held_with_its_claim_and_the_reason() {
    let all_ports = without(without(nat(vip("203.0.113.2", 1, &["a"])), "protocol"), "port");
    let mut fixture = IndexFixture::new(vec![
        at("shop/a", "10.0.0.1"),
        frontend("shop/web", 1, &nat(vip(VIP, 80, &["a"]))),
        frontend("shop/same-port", 2, &vip(VIP, 80, &["a"])),
        frontend("shop/other-port", 3, &vip(VIP, 443, &["a"])),
        frontend("shop/all", 1, &all_ports),
    ]);
    for held in ["shop/web", "shop/all"] {
        assert_eq!(fixture.standing(held), "held EncapUnsupported spec.encap.type");
        assert_eq!(fixture.frontend(held).encap, None);
    }
    assert_eq!(fixture.frontend("shop/web").vip.to_string(), "203.0.113.1 tcp 80");
    assert!(!fixture.config().claims_unknown);
    let expected = "Frontend shop/web: spec.encap.type NAT is not supported, because VPP drops the TCP packets of a NAT \
                    VIP, sends UDP packets with a wrong checksum, and can abort; use GRE or L3DSR; until it is corrected, \
                    its VIP stays in VPP as it is";
    assert_eq!(fixture.problems(Kind::Frontend, "shop/web")[0].message, expected);
    assert_eq!(fixture.standing("shop/same-port"), "withdrawn Conflicted spec.port");
    assert_eq!(fixture.standing("shop/other-port"), "serving", "NAT is not programmed, so it claims no encap");

    fixture.apply(frontend("shop/web", 1, &vip(VIP, 80, &["a"])));
    assert_eq!(fixture.standing("shop/web"), "serving");
    assert_eq!(fixture.frontend("shop/web").encap, Some(Encap::Gre4));
}

#[test]
fn nat_frontend_with_unreadable_claim_sets_claims_unknown() {
    let broken = without(nat(vip(VIP, 80, &["a"])), "address");
    let fixture = IndexFixture::new(vec![frontend("shop/web", 1, &broken)]);
    assert!(fixture.config().claims_unknown);
    let problem = &fixture.problems(Kind::Frontend, "shop/web")[0];
    assert_eq!(problem.reason, Reason::EncapUnsupported);
    assert!(problem.message.ends_with("unclaimed VIPs are not removed"), "{}", problem.message);
}

#[test]
fn unreadable_frontend_is_held_with_its_claim() {
    let broken = with(vip(VIP, 80, &["a"]), "tableLength", 1000.into());
    let fixture = IndexFixture::new(vec![
        at("shop/a", "10.0.0.1"),
        frontend("shop/web", 1, &broken),
        frontend("shop/younger", 2, &vip(VIP, 80, &["a"])),
    ]);
    assert_eq!(fixture.standing("shop/web"), "held Unreadable spec.tableLength");
    assert_eq!(fixture.frontend("shop/web").vip.to_string(), "203.0.113.1 tcp 80");
    assert!(fixture.frontend("shop/web").pools.is_empty());
    assert_eq!(fixture.standing("shop/younger"), "withdrawn Conflicted spec.port");
    assert!(!fixture.config().claims_unknown);
    let message = &fixture.problems(Kind::Frontend, "shop/web")[0].message;
    assert!(message.contains("1000") && message.contains("power of two"), "{message}");
}

#[test]
fn unreadable_all_port_frontend_keeps_its_claim() {
    let broken = without(without(with(vip(VIP, 80, &[]), "pools", json!(7)), "protocol"), "port");
    let fixture = IndexFixture::new(vec![frontend("shop/web", 1, &broken)]);
    assert_eq!(fixture.frontend("shop/web").vip.to_string(), "203.0.113.1 any 0");
    assert_eq!(fixture.standing("shop/web"), "held Unreadable spec.pools");
}

#[test]
fn unreadable_claim_sets_claims_unknown_until_corrected() {
    let good = vip(VIP, 80, &["a"]);
    for broken in [
        with(good.clone(), "port", json!(0)),
        with(good.clone(), "port", json!("http")),
        with(good.clone(), "protocol", json!("SCTP")),
        with(good.clone(), "address", json!("web.example")),
        without(good.clone(), "address"),
        without(good.clone(), "port"),
        Value::Null,
        json!("text"),
    ] {
        let mut fixture = IndexFixture::new(vec![frontend("shop/web", 1, &broken)]);
        assert!(fixture.config().claims_unknown, "{broken}");
        assert!(fixture.config().frontends.is_empty(), "{broken}");
        assert_eq!(fixture.problems(Kind::Frontend, "shop/web").len(), 1, "{broken}");

        fixture.apply(frontend("shop/other", 1, &Value::Null));
        fixture.apply(frontend("shop/web", 1, &good));
        assert!(fixture.config().claims_unknown, "the other one is still unreadable");
        fixture.delete(Kind::Frontend, "shop/other");
        assert!(!fixture.config().claims_unknown, "{broken}");
    }
}

#[test]
fn unreadable_claim_still_owns_its_address() {
    let broken = with(vip(VIP, 80, &["a"]), "port", json!(0));
    let fixture =
        IndexFixture::new(vec![frontend("shop/web", 1, &broken), frontend("other/web", 2, &vip(VIP, 443, &["a"]))]);
    assert_eq!(fixture.standing("other/web"), "held AddressOwnedByOtherNamespace spec.address");
}

#[test]
fn encap_of_unreadable_frontend_conflicts_with_younger_ones_only() {
    let fixture = IndexFixture::new(vec![
        at("shop/a", "10.0.0.1"),
        frontend("shop/old", 1, &with(l3dsr(vip(VIP, 80, &["a"])), "pools", json!(7))),
        frontend("shop/new", 2, &vip(VIP, 443, &["a"])),
        frontend("shop/newest", 3, &l3dsr(vip(VIP, 8443, &["a"]))),
        frontend("shop/broken", 4, &with(vip(VIP, 22, &["a"]), "pools", json!(7))),
    ]);
    assert_eq!(fixture.standing("shop/old"), "held Unreadable spec.pools");
    assert_eq!(fixture.standing("shop/new"), "withdrawn Conflicted spec.encap");
    assert_eq!(fixture.standing("shop/newest"), "serving");
    assert_eq!(fixture.standing("shop/broken"), "held Unreadable spec.pools");
}

#[test]
fn loopback_address_holds_frontend_and_makes_backend_unreadable() {
    let objects =
        vec![at("shop/a", "127.0.0.5"), at("shop/b", "::1"), frontend("shop/web", 1, &vip("127.0.1.1", 80, &["a"]))];
    let mut fixture = IndexFixture::new(objects.clone());
    assert_eq!(fixture.standing("shop/web"), "held Invalid spec.address");
    let loopback = MemberTarget::Unreadable { address: Some("127.0.0.5".parse().unwrap()) };
    assert_eq!(fixture.members("shop/web")[0].target, loopback);
    for backend in ["shop/a", "shop/b"] {
        assert_eq!(fixture.reasons(Kind::Backend, backend), [(Reason::Invalid, "spec.address".to_owned())]);
    }
    fixture.apply(backend("shop/a", &json!({"address": "10.0.0.1"})));
    assert!(matches!(fixture.members("shop/web")[0].target, MemberTarget::Backend(_)));

    let (index, config_rx) = crate::Index::new(IndexOptions {
        allow_loopback: true,
        node_name: Some(super::fixture::NODE.to_owned()),
        ..IndexOptions::default()
    });
    let mut fixture = IndexFixture { index, config_rx };
    fixture.list_all(objects);
    assert_eq!(fixture.standing("shop/web"), "serving");
    assert!(fixture.config().backends.contains_key(&name("shop/b")));
}

#[test]
fn conflict_takes_precedence_over_hold() {
    let fixture = IndexFixture::new(vec![
        at("shop/four", "10.0.0.1"),
        at("shop/six", "2001:db8::1"),
        frontend("shop/old", 1, &vip(VIP, 80, &["four"])),
        frontend("shop/new", 2, &vip(VIP, 80, &["four", "six"])),
        frontend("shop/broken", 3, &with(vip(VIP, 80, &[]), "pools", json!(7))),
    ]);
    assert_eq!(fixture.standing("shop/new"), "withdrawn Conflicted spec.port");
    assert_eq!(fixture.standing("shop/broken"), "withdrawn Conflicted spec.port");
    let reasons: Vec<Reason> =
        fixture.problems(Kind::Frontend, "shop/new").into_iter().map(|problem| problem.reason).collect();
    assert_eq!(reasons, [Reason::Conflicted, Reason::MixedFamilies]);
}

#[test]
fn conflicts_are_decided_again_when_a_frontend_becomes_unreadable() {
    let mut fixture = IndexFixture::new(vec![
        at("shop/four", "10.0.0.1"),
        at("shop/six", "2001:db8::1"),
        frontend("shop/old", 1, &vip(VIP, 80, &["four"])),
        frontend("shop/new", 2, &vip(VIP, 443, &["six"])),
    ]);
    assert_eq!(fixture.standing("shop/new"), "withdrawn Conflicted spec.encap");
    // The family of its backends is not known any more, so it conflicts with no other Frontend.
    fixture.apply(frontend("shop/old", 1, &with(vip(VIP, 80, &[]), "pools", json!(7))));
    assert_eq!(fixture.standing("shop/old"), "held Unreadable spec.pools");
    assert_eq!(fixture.standing("shop/new"), "serving");
}

#[test]
fn youngest_frontends_beyond_the_table_entries_of_the_node_are_held() {
    let small = |frontend: Value| with(frontend, "tableLength", json!(256));
    let limit = |entries: u32| lb_config("all", 1, &json!({"vpp": {"maxTableEntries": entries}}));
    let mut fixture = IndexFixture::new(vec![
        limit(8192),
        at("shop/one", "10.0.0.1"),
        frontend("shop/young", 3, &small(vip("203.0.113.3", 80, &["one"]))),
        frontend("shop/old", 1, &vip("203.0.113.1", 80, &["one"])),
    ]);
    assert_eq!(fixture.standing("shop/old"), "serving", "8192 of 8192 entries");
    assert_eq!(fixture.standing("shop/young"), "held NodeFull spec.tableLength");
    let message = &fixture.problems(Kind::Frontend, "shop/young")[0].message;
    assert!(message.contains("spec.tableLength 256") && message.contains("8192 buckets in all"), "{message}");

    // A held Frontend takes no room, and a deletion makes room.
    fixture.apply(lb_config("all", 1, &json!({"vpp": {"maxTableEntries": 8448}})));
    assert_eq!(fixture.standing("shop/young"), "serving");
    fixture.apply(limit(8192));
    assert_eq!(fixture.standing("shop/young"), "held NodeFull spec.tableLength");
    let changes = fixture.delete(Kind::Frontend, "shop/old");
    assert_eq!(fixture.standing("shop/young"), "serving");
    assert!(changes.applied.iter().any(|(_, applied, _)| *applied == name("shop/young")), "{changes:?}");

    // A conflicting Frontend is not counted.
    fixture.apply(frontend("shop/next", 4, &vip("203.0.113.3", 80, &["one"])));
    assert_eq!(fixture.reasons(Kind::Frontend, "shop/next")[0].0, Reason::Conflicted);
    fixture.apply(frontend("shop/last", 5, &small(vip("203.0.113.5", 80, &["one"]))));
    assert_eq!(fixture.standing("shop/last"), "serving");
}

#[test]
fn frontend_held_from_the_start_is_only_reported_as_rejected() {
    let mut fixture = IndexFixture::new(vec![
        lb_config("all", 1, &json!({"vpp": {"maxTableEntries": 8192}})),
        at("shop/one", "10.0.0.1"),
        frontend("shop/old", 1, &vip("203.0.113.1", 80, &["one"])),
    ]);
    let changes = fixture.apply(frontend("shop/young", 2, &vip("203.0.113.2", 80, &["one"])));
    assert_eq!((changes.applied.len(), changes.appeared.len()), (0, 1), "{changes:?}");
}

#[test]
fn claimed_encap_follows_a_refused_backend_that_becomes_readable() {
    let policy =
        policy("p", &json!({"namespaces": {"names": ["shop"]}, "frontends": {"addresses": ["203.0.113.0/24"]}}));
    let old = l3dsr(vip(VIP, 80, &["b"]));
    let objects = |spec: &Value| {
        vec![
            policy.clone(),
            backend("shop/b", spec),
            frontend("shop/old", 1, &old),
            frontend("shop/new", 2, &vip(VIP, 81, &["b"])),
        ]
    };
    let mut fixture = IndexFixture::new(objects(&json!({"address": "10.0.0.1", "adminState": "Asleep"})));
    let readable = json!({"address": "10.0.0.1"});
    fixture.apply(backend("shop/b", &readable));
    let problems = fixture.problems(Kind::Frontend, "shop/new");
    assert!(problems.iter().any(|problem| problem.message.contains("to ipv4 backends")), "{problems:?}");
    assert_eq!(problems, IndexFixture::new(objects(&readable)).problems(Kind::Frontend, "shop/new"));
}

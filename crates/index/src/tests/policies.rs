//! Tests of AddressPolicies and of the deny list.

use serde_json::{Value, json};

use super::fixture::{
    IndexFixture, at, check, frontend, lb_config, name, namespace, node, object, policy, probed, tcp, vip, with,
    without,
};
use crate::{AddressCounts, NodeObject, Object, PolicyCounts};
use maglev_model::{
    config::{Check, Kind, MemberTarget},
    problem::Reason,
};

const VIP: &str = "203.0.113.1";

fn shop_only() -> Value {
    json!({
        "namespaces": {"names": ["shop"]},
        "frontends": {
            "addresses": ["203.0.113.0/26"], "ports": [{"protocol": "TCP", "from": 80, "to": 443}], "encaps": ["GRE"],
        },
        "backends": {"addresses": ["10.20.0.0/16"], "except": ["10.20.0.1/32"]},
    })
}

fn scene(more: Vec<Object>) -> IndexFixture {
    let mut objects = vec![policy("shop", &shop_only()), at("shop/a", "10.20.0.5"), at("other/a", "10.20.0.5")];
    objects.extend(more);
    IndexFixture::new(objects)
}

fn message(fixture: &IndexFixture, kind: Kind, name: &str) -> String {
    fixture.problems(kind, name).first().map(|problem| problem.message.clone()).unwrap_or_default()
}

#[test]
fn frontend_needs_address_port_and_encap_of_one_policy() {
    let l3dsr = |spec| with(spec, "encap", json!({"type": "L3DSR", "l3dsr": {"dscp": 7}}));
    let all_ports = without(without(vip("203.0.113.9", 1, &["a"]), "protocol"), "port");
    let fixture = scene(vec![
        frontend("shop/good", 1, &vip(VIP, 80, &["a"])),
        frontend("shop/address", 1, &vip("203.0.113.64", 80, &["a"])),
        frontend("shop/port", 1, &vip("203.0.113.2", 22, &["a"])),
        frontend("shop/udp", 1, &with(vip("203.0.113.3", 80, &["a"]), "protocol", "UDP".into())),
        frontend("shop/all", 1, &all_ports),
        frontend("shop/encap", 1, &l3dsr(vip("203.0.113.4", 80, &["a"]))),
        frontend("other/web", 1, &vip("203.0.113.5", 80, &["a"])),
    ]);
    assert_eq!(fixture.standing("shop/good"), "serving");
    for (frontend, field, allowed) in [
        ("shop/address", "spec.address", "may use 203.0.113.0/26"),
        ("shop/port", "spec.port", "may use TCP 80-443"),
        ("shop/udp", "spec.port", "may use TCP 80-443"),
        ("shop/all", "spec.port", "may use TCP 80-443"),
        ("shop/encap", "spec.encap.type", "may use GRE"),
        ("other/web", "spec.address", "may use none"),
    ] {
        assert_eq!(fixture.standing(frontend), format!("held AddressNotAllowed {field}"), "{frontend}");
        let message = message(&fixture, Kind::Frontend, frontend);
        assert!(message.contains(allowed) && message.contains(field), "{message}");
    }
    let message = message(&fixture, Kind::Frontend, "other/web");
    assert!(!message.contains("shop") && !message.contains("10.20"), "{message}");
}

#[test]
fn grants_add_up_and_two_policies_do_not_mix() {
    let more = json!({
        "namespaces": {"names": ["shop"]},
        "frontends": {"addresses": ["198.51.100.0/24"], "ports": [{"from": 53}]},
    });
    let fixture = scene(vec![
        policy("dns", &more),
        frontend("shop/web", 1, &vip(VIP, 80, &["a"])),
        frontend("shop/dns", 1, &vip("198.51.100.1", 53, &["a"])),
        frontend("shop/mixed", 1, &vip("198.51.100.2", 80, &["a"])),
    ]);
    assert_eq!(fixture.standing("shop/web"), "serving");
    assert_eq!(fixture.standing("shop/dns"), "serving");
    assert_eq!(fixture.standing("shop/mixed"), "held AddressNotAllowed spec.port");
}

#[test]
fn backend_that_is_not_allowed_is_like_an_unreadable_one() {
    let mut fixture = scene(vec![
        tcp("shop/c"),
        probed("shop/b", "10.20.0.1", "c"),
        frontend("shop/web", 1, &vip(VIP, 80, &["a", "b"])),
    ]);
    assert_eq!(fixture.reasons(Kind::Backend, "shop/b"), [(Reason::AddressNotAllowed, "spec.address".to_owned())]);
    let message = message(&fixture, Kind::Backend, "shop/b");
    assert!(message.contains("10.20.0.0/16 except 10.20.0.1/32"), "{message}");
    assert!(!fixture.config().backends.contains_key(&name("shop/b")), "it is not probed");
    let target = MemberTarget::Unreadable { address: "10.20.0.1".parse().ok() };
    assert_eq!(fixture.members("shop/web")[1].target, target);
    assert_eq!(fixture.standing("shop/web"), "serving");
    assert_eq!(fixture.reasons(Kind::Backend, "other/a")[0].0, Reason::AddressNotAllowed);

    fixture.apply(probed("shop/b", "10.20.0.2", "c"));
    assert_eq!(fixture.reasons(Kind::Backend, "shop/b"), []);
    assert!(matches!(fixture.health_check("shop/b"), Check::Probe(_)));
}

#[test]
fn check_beyond_the_policy_stops_the_probes() {
    let probes = json!({"types": ["TCP", "HTTP"], "ports": [{"from": 80, "to": 90}], "minInterval": "1s", "expectedBody": "None"});
    let http = |field: &str, value: &str| json!({"type": "HTTP", "port": 80, "http": {field: value}});
    for (spec, allowed) in [
        (json!({"type": "TCP", "port": 80}), ""),
        (json!({"type": "ICMP"}), "allowed is TCP, HTTP"),
        (json!({"type": "TCP", "port": 10250}), "allowed is 80-90"),
        (json!({"type": "TCP", "port": 80, "fastInterval": "500ms"}), "allowed is 1s or longer"),
        (http("expectedText", "x"), "no expectation of the body"),
        (http("expectedBody", "x"), "spec.http.expectedBody"),
    ] {
        let fixture = IndexFixture::new(vec![
            policy("shop", &with(shop_only(), "probes", probes.clone())),
            check("shop/c", &spec),
            probed("shop/a", "10.20.0.5", "c"),
        ]);
        let Some(problem) = fixture.problems(Kind::Backend, "shop/a").first().cloned() else {
            assert_eq!(allowed, "", "{spec}");
            continue;
        };
        assert_eq!((problem.reason, &*problem.field), (Reason::ProbeNotAllowed, "spec.healthCheckRef"));
        assert!(problem.message.contains(allowed) && !allowed.is_empty(), "{}", problem.message);
        assert_eq!(fixture.health_check("shop/a"), Check::Missing(problem));
    }
}

#[test]
fn entitlement_precedes_age() {
    let mut fixture = scene(vec![
        frontend("other/squatter", 1, &vip(VIP, 80, &["a"])),
        frontend("other/second", 1, &vip(VIP, 443, &["a"])),
        frontend("shop/owner", 2, &vip(VIP, 80, &["a"])),
    ]);
    assert_eq!(fixture.standing("shop/owner"), "serving");
    assert_eq!(fixture.standing("other/squatter"), "withdrawn AddressOwnedByOtherNamespace spec.address");
    assert_eq!(fixture.standing("other/second"), "held AddressNotAllowed spec.address");
    fixture.delete(Kind::Frontend, "shop/owner");
    assert_eq!(fixture.standing("other/squatter"), "held AddressNotAllowed spec.address");
    fixture.apply(frontend("shop/owner", 9, &vip(VIP, 80, &["a"])));
    assert_eq!(fixture.standing("shop/owner"), "serving");
}

#[test]
fn squatter_does_not_stop_the_probes_of_a_backend() {
    let fixture = scene(vec![frontend("other/squatter", 1, &vip("10.20.0.5", 80, &["a"]))]);
    assert_eq!(fixture.problems(Kind::Backend, "shop/a"), []);
}

#[test]
fn frontend_is_withdrawn_only_if_a_policy_of_its_namespace_says_so() {
    let web = || frontend("shop/web", 1, &vip(VIP, 80, &["a"]));
    let mut fixture = scene(vec![web()]);
    let none = json!({"namespaces": {"names": ["shop"]}});
    fixture.apply(object(Kind::AddressPolicy, "shop", 0, 2, &none));
    assert_eq!(fixture.standing("shop/web"), "held AddressNotAllowed spec.address");
    let withdrawing = with(none, "onRevoke", "Withdraw".into());
    fixture.apply(object(Kind::AddressPolicy, "shop", 0, 3, &withdrawing));
    assert_eq!(fixture.standing("shop/web"), "withdrawn AddressNotAllowed spec.address");
    // A grant that cannot be read may allow the VIP.
    fixture.apply(policy("broken", &json!({"frontends": 7})));
    assert_eq!(fixture.standing("shop/web"), "held AddressNotAllowed spec.address");
    assert_eq!(fixture.reasons(Kind::AddressPolicy, "broken"), [(Reason::Unreadable, "spec.frontends".to_owned())]);
    fixture.delete(Kind::AddressPolicy, "broken");
    fixture.delete(Kind::AddressPolicy, "shop");
    assert_eq!(fixture.standing("shop/web"), "serving", "without any AddressPolicy, everything is allowed");
}

#[test]
fn audit_only_reports() {
    let web = || frontend("other/web", 1, &vip(VIP, 80, &["a"]));
    let mut fixture = scene(vec![web()]);
    assert_eq!(fixture.standing("other/web"), "held AddressNotAllowed spec.address");
    fixture.apply(policy("other", &json!({"namespaces": {"names": ["other"]}, "mode": "Audit"})));
    assert_eq!(fixture.standing("other/web"), "serving");
    assert_eq!(fixture.reasons(Kind::Frontend, "other/web"), [(Reason::PolicyViolation, "spec.address".to_owned())]);
    assert_eq!(fixture.reasons(Kind::Backend, "other/a")[0].0, Reason::PolicyViolation);
    assert!(fixture.config().backends.contains_key(&name("other/a")));
    // The deny list is always enforced.
    fixture.apply(at("other/metadata", "168.63.129.16"));
    assert_eq!(fixture.reasons(Kind::Backend, "other/metadata")[0].0, Reason::AddressNotAllowed);
}

#[test]
fn namespace_that_only_audits_exist_for_is_not_refused() {
    let mut fixture = IndexFixture::new(vec![
        policy("shop", &with(shop_only(), "mode", "Audit".into())),
        at("other/a", "10.20.0.5"),
        frontend("other/web", 1, &vip(VIP, 80, &["a"])),
    ]);
    assert_eq!(fixture.standing("other/web"), "serving");
    assert_eq!(fixture.reasons(Kind::Frontend, "other/web")[0].0, Reason::PolicyViolation);
    fixture.apply(object(Kind::AddressPolicy, "shop", 0, 2, &shop_only()));
    assert_eq!(fixture.standing("other/web"), "held AddressNotAllowed spec.address");
}

#[test]
fn labels_select_namespaces_once_they_are_listed() {
    let labelled = with(shop_only(), "namespaces", json!({"selector": {"matchLabels": {"team": "shop"}}}));
    let mut fixture = scene(vec![frontend("shop/web", 1, &vip(VIP, 80, &["a"]))]);
    assert!(!fixture.index.needs_namespaces());
    fixture.index.unlist(Kind::Namespace);
    fixture.apply(object(Kind::AddressPolicy, "shop", 0, 2, &labelled));
    assert!(fixture.index.needs_namespaces());
    assert_eq!(fixture.index.awaited().collect::<Vec<_>>(), [Kind::Namespace]);
    assert_eq!(fixture.standing("shop/web"), "serving", "unknown labels change nothing");
    fixture.index.reset(Kind::Namespace, vec![namespace("shop", "team", "other")]);
    assert_eq!(fixture.standing("shop/web"), "held AddressNotAllowed spec.address");
    fixture.apply(namespace("shop", "team", "shop"));
    assert_eq!(fixture.standing("shop/web"), "serving");
    fixture.delete(Kind::Namespace, "shop");
    assert_eq!(fixture.standing("shop/web"), "held AddressNotAllowed spec.address");
}

#[test]
fn deny_list_needs_no_policy_and_is_opened_by_name() {
    let metadata = "168.63.129.16";
    let mut fixture = IndexFixture::new(vec![
        at("shop/metadata", metadata),
        at("shop/nat64", "64:ff9b::a83f:8110"),
        frontend("shop/web", 1, &vip("100.100.100.200", 80, &[])),
    ]);
    for backend in ["shop/metadata", "shop/nat64"] {
        assert_eq!(fixture.reasons(Kind::Backend, backend), [(Reason::AddressNotAllowed, "spec.address".to_owned())]);
    }
    assert_eq!(fixture.standing("shop/web"), "held AddressNotAllowed spec.address");

    let allow = |networks: Value| {
        policy("all", &json!({"backends": {"addresses": networks}, "frontends": {"addresses": networks}}))
    };
    fixture.apply(allow(json!(["0.0.0.0/0", "::/0", "100.100.100.200/32"])));
    assert_eq!(fixture.reasons(Kind::Backend, "shop/metadata").len(), 1);
    assert_eq!(fixture.standing("shop/web"), "held AddressNotAllowed spec.address", "no VIP is allowed by name");
    let named =
        |networks: Value| object(Kind::AddressPolicy, "all", 0, 2, &json!({"backends": {"addresses": networks}}));
    fixture.apply(named(json!(["168.63.129.16/32", "64:ff9b::a83f:8110/128"])));
    assert_eq!(fixture.reasons(Kind::Backend, "shop/metadata"), []);
    assert_eq!(fixture.reasons(Kind::Backend, "shop/nat64"), []);

    fixture.apply(lb_config("lb", 1, &json!({"neverAddresses": ["168.63.129.0/24"]})));
    assert_eq!(fixture.reasons(Kind::Backend, "shop/metadata").len(), 1, "neverAddresses is not opened by name");
    fixture.apply(lb_config("lb", 1, &json!({"vpp": {"ipv4SourceAddress": "192.0.2.1"}})));
    assert_eq!(fixture.reasons(Kind::Backend, "shop/metadata"), []);
    fixture.apply(at("shop/vpp", "192.0.2.1"));
    assert_eq!(fixture.reasons(Kind::Backend, "shop/vpp")[0].0, Reason::AddressNotAllowed);
}

#[test]
fn own_node_is_not_probed_but_keeps_its_place_in_the_pool() {
    // The fixture's own Node.
    let own = "192.0.2.7";
    let mut fixture = IndexFixture::new(vec![
        tcp("shop/c"),
        probed("shop/own", own, "c"),
        probed("shop/nat64", "64:ff9b::c000:207", "c"),
        at("shop/unchecked", "2001:db8::7"),
    ]);
    for backend in ["shop/own", "shop/nat64"] {
        assert_eq!(fixture.reasons(Kind::Backend, backend)[0].0, Reason::AddressUsedByNode);
        assert!(matches!(fixture.health_check(backend), Check::Missing(_)), "{backend}");
    }
    assert_eq!(fixture.reasons(Kind::Backend, "shop/unchecked"), []);
    fixture.apply(policy("all", &json!({"backends": {"addresses": ["0.0.0.0/0", "192.0.2.7/32", "::/0"]}})));
    assert!(matches!(fixture.health_check("shop/own"), Check::Probe(_)));
    assert!(matches!(fixture.health_check("shop/nat64"), Check::Missing(_)));
    let Object::Node(mut moved) = node("role", "lb") else { unreachable!() };
    moved.addresses = vec!["192.0.2.99".parse().unwrap()];
    fixture.apply(Object::Node(moved));
    assert!(matches!(fixture.health_check("shop/nat64"), Check::Probe(_)));
}

#[test]
fn unallowed_backend_does_not_change_the_claimed_encap() {
    // "six" is not allowed, but "old" would need GRE over IPv6 for it.
    let fixture = IndexFixture::new(vec![
        policy("shop", &shop_only()),
        at("shop/a", "10.20.0.5"),
        at("shop/six", "2001:db8::1"),
        frontend("shop/old", 1, &vip(VIP, 80, &["six"])),
        frontend("shop/new", 2, &vip(VIP, 443, &["a"])),
    ]);
    assert_eq!(fixture.frontend("shop/old").encap, None, "no VIP without servers is added");
    assert_eq!(fixture.standing("shop/new"), "withdrawn Conflicted spec.encap");
}

#[test]
fn numbers_of_a_policy_count_what_it_allows_and_what_violates_it() {
    let fixture = scene(vec![
        policy("everybody", &json!({"backends": {"addresses": ["10.20.0.5/32"]}})),
        at("shop/b", "10.99.0.1"),
        frontend("shop/web", 1, &vip(VIP, 80, &["a"])),
        frontend("other/web", 1, &vip("203.0.113.2", 80, &["a"])),
    ]);
    let counts = fixture.index.policy_counts();
    let shop = PolicyCounts { namespaces: 1, frontends: 1, backends: 1, violations: 1, addresses: None };
    let everybody = PolicyCounts { namespaces: 2, backends: 2, violations: 2, ..PolicyCounts::default() };
    assert_eq!((counts[&name("shop")], counts[&name("everybody")]), (shop, everybody));
}

#[test]
fn policy_that_gives_addresses_counts_those_that_are_left() {
    let assigned = json!({"frontends": {"addresses": ["203.0.113.0/28", "203.0.113.8/29"], "assign": "Auto"}});
    let mut fixture = scene(vec![
        policy("pool", &assigned),
        policy("wide", &json!({"frontends": {"addresses": ["2001:db8:1::/64"], "assign": "Auto"}})),
        frontend("shop/web", 1, &vip("203.0.113.1", 80, &[])),
        frontend("shop/tls", 1, &vip("203.0.113.1", 443, &[])),
        // The network address, which is given on request only, and an address beside the range.
        frontend("shop/first", 1, &vip("203.0.113.0", 80, &[])),
        frontend("shop/beside", 1, &vip("203.0.113.16", 80, &[])),
    ]);
    let counts = fixture.index.policy_counts();
    let addresses = |policy: &str| counts[&name(policy)].addresses;
    assert_eq!(addresses("pool"), Some(AddressCounts { allocated: 2, available: 13 }));
    assert_eq!(addresses("wide"), Some(AddressCounts { allocated: 0, available: (1 << 64) - 1 }));
    assert_eq!(addresses("shop"), None);

    let addresses = vec!["203.0.113.2".parse().unwrap()];
    fixture.apply(Object::Node(NodeObject { name: "other".to_owned(), addresses, ..NodeObject::default() }));
    fixture.apply(lb_config("never", 1, &json!({"neverAddresses": ["203.0.113.4/30"]})));
    let counts = fixture.index.policy_counts();
    assert_eq!(counts[&name("pool")].addresses, Some(AddressCounts { allocated: 2, available: 8 }));
}

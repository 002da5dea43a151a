//! Tests of addresses that are not allowed: those of nodes as VIPs, and VIPs as those of backends.

use super::fixture::{IndexFixture, at, frontend, name, node, object, vip};
use crate::{NodeObject, Object};
use maglev_model::{
    config::{Kind, MemberTarget},
    problem::Reason,
};

const VIP: &str = "203.0.113.1";

/// Another Node than the own one.
fn other_node(addresses: &[&str]) -> Object {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Object::Node(NodeObject { name: "node-b".to_owned(), addresses, ..NodeObject::default() })
}

fn unreadable(address: &str) -> MemberTarget {
    MemberTarget::Unreadable { address: Some(address.parse().unwrap()) }
}

#[test]
fn address_of_any_node_holds_the_frontend() {
    for address in ["192.0.2.7", "2001:db8::7", "192.0.2.8"] {
        let fixture = IndexFixture::new(vec![
            node("role", "lb"),
            other_node(&["192.0.2.8"]),
            at("shop/a", "10.0.0.1"),
            frontend("shop/web", 1, &vip(address, 80, &["a"])),
        ]);
        assert_eq!(fixture.standing("shop/web"), "held AddressUsedByNode spec.address", "{address}");
        let message = &fixture.problems(Kind::Frontend, "shop/web")[0].message;
        assert!(message.contains(address) && message.contains("InternalIP of Node \"node-"), "{message}");
    }
}

#[test]
fn frontend_follows_the_addresses_of_nodes() {
    let mut fixture = IndexFixture::new(vec![at("shop/a", "10.0.0.1"), frontend("shop/web", 1, &vip(VIP, 80, &["a"]))]);
    assert_eq!(fixture.standing("shop/web"), "serving");
    fixture.apply(other_node(&["192.0.2.8", VIP]));
    assert_eq!(fixture.standing("shop/web"), "held AddressUsedByNode spec.address");
    fixture.apply(other_node(&["192.0.2.8"]));
    assert_eq!(fixture.standing("shop/web"), "serving");
    fixture.apply(other_node(&[VIP]));
    fixture.delete(Kind::Node, "node-b");
    assert_eq!(fixture.standing("shop/web"), "serving");
    fixture.apply(other_node(&[VIP]));
    // A list without the Node removes it. The own Node keeps its labels.
    fixture.index.reset(Kind::Node, vec![node("role", "lb")]);
    assert_eq!(fixture.standing("shop/web"), "serving");
    assert!(fixture.problems(Kind::Frontend, "shop/web").is_empty());
}

#[test]
fn backend_with_the_address_of_a_frontend_is_refused() {
    let mut fixture = IndexFixture::new(vec![
        at("shop/a", "10.0.0.1"),
        at("shop/loop", VIP),
        at("other/loop", VIP),
        frontend("shop/web", 1, &vip("203.0.113.2", 80, &["loop", "a"])),
    ]);
    assert!(matches!(fixture.members("shop/web")[0].target, MemberTarget::Backend(_)), "{VIP} is not a VIP yet");

    fixture.apply(frontend("shop/tcp", 2, &vip(VIP, 443, &["a"])));
    for backend in ["shop/loop", "other/loop"] {
        assert_eq!(
            fixture.reasons(Kind::Backend, backend),
            [(Reason::AddressUsedByFrontend, "spec.address".to_owned())]
        );
        let message = &fixture.problems(Kind::Backend, backend)[0].message;
        assert!(message.contains(VIP) && !message.contains("tcp"), "another namespace is not disclosed: {message}");
    }
    assert_eq!(fixture.members("shop/web")[0].target, unreadable(VIP), "it stays in VPP as it is");
    assert_eq!(fixture.standing("shop/web"), "serving");
    assert!(!fixture.config().backends.contains_key(&name("shop/loop")), "it is not probed");

    fixture.apply(object(Kind::Backend, "shop/loop", 0, 2, &serde_json::json!({"address": "10.0.0.2"})));
    assert!(fixture.problems(Kind::Backend, "shop/loop").is_empty());
    fixture.delete(Kind::Frontend, "shop/tcp");
    assert!(fixture.problems(Kind::Backend, "other/loop").is_empty());
}

#[test]
fn frontend_with_its_own_address_as_backend_is_refused_in_any_order() {
    let objects = [at("shop/loop", VIP), frontend("shop/web", 1, &vip(VIP, 80, &["loop"]))];
    for reversed in [false, true] {
        let mut fixture = IndexFixture::new(vec![]);
        let mut objects = objects.to_vec();
        if reversed {
            objects.reverse();
        }
        objects.into_iter().for_each(|object| drop(fixture.apply(object)));
        assert_eq!(fixture.members("shop/web")[0].target, unreadable(VIP));
        let reasons = fixture.problems(Kind::Frontend, "shop/web").into_iter().map(|problem| problem.reason);
        assert_eq!(reasons.collect::<Vec<_>>(), [Reason::BackendUnreadable, Reason::NoBackends]);
    }
}

#[test]
fn backend_may_have_the_address_of_a_node_that_a_frontend_claims() {
    let fixture = IndexFixture::new(vec![
        node("role", "lb"),
        at("shop/node", "192.0.2.7"),
        frontend("shop/web", 1, &vip(VIP, 80, &["node"])),
        frontend("other/mistake", 1, &vip("192.0.2.7", 22, &["a"])),
    ]);
    assert!(fixture.problems(Kind::Backend, "shop/node").is_empty());
    assert!(matches!(fixture.members("shop/web")[0].target, MemberTarget::Backend(_)));
}

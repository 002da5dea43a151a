//! Tests of the addresses that the controller gives to Services.

use serde_json::json;

use super::fixture::{lb_config, namespace, policy};
use crate::{AddressGrants, NodeObject, Object};
use maglev_model::{
    Name,
    config::Kind,
    vip::{Protocol, Service},
};

fn grants(objects: Vec<Object>) -> AddressGrants {
    let mut grants = AddressGrants::new(false);
    grants.update(Kind::AddressPolicy, true, &[], objects);
    for kind in [Kind::LoadBalancerConfig, Kind::Node] {
        grants.update(kind, true, &[], Vec::new());
    }
    grants
}

fn tcp(port: u16) -> Service {
    Service::Port { protocol: Protocol::Tcp, port: port.try_into().unwrap() }
}

fn networks(grants: &AddressGrants, namespace: &str, services: &[Service]) -> Vec<String> {
    let networks = grants.assigned_networks(namespace, services).into_iter();
    networks.map(|network| format!("{} {}", network.policy, network.range.first())).collect()
}

fn refusal(grants: &mut AddressGrants, namespace: &str, address: &str) -> String {
    grants.refusal(namespace, address.parse().unwrap(), &[tcp(80)]).unwrap_or_default()
}

#[test]
fn networks_are_in_the_order_of_policies_and_addresses() {
    let auto = |networks: &[&str]| json!({"frontends": {"addresses": networks, "assign": "Auto"}});
    let web = json!({"frontends": {
        "addresses": ["198.51.100.0/24"], "ports": [{"protocol": "TCP", "from": 80, "to": 81}], "assign": "Auto",
    }});
    let l3dsr = json!({"frontends": {"addresses": ["192.0.2.0/24"], "encaps": ["L3DSR"], "assign": "Auto"}});
    let grants = grants(vec![
        policy("b", &auto(&["203.0.113.64/26", "203.0.113.0/26"])),
        policy("a", &web),
        policy("l3dsr", &l3dsr),
        policy("asked", &json!({"frontends": {"addresses": ["192.0.2.0/24"]}})),
        policy(
            "bank",
            &json!({"namespaces": {"names": ["bank"]}, "frontends": {
                "addresses": ["2001:db8::/64"], "assign": "Auto",
            }}),
        ),
    ]);
    let all = ["a 198.51.100.1", "b 203.0.113.1", "b 203.0.113.65"];
    assert_eq!(networks(&grants, "shop", &[tcp(80), tcp(81)]), all);
    assert_eq!(networks(&grants, "shop", &[tcp(80), tcp(443)]), all[1..]);
    assert_eq!(networks(&grants, "bank", &[tcp(80)])[2..], ["b 203.0.113.65", "bank 2001:db8::1"]);
}

#[test]
fn refused_address_has_a_reason() {
    let mut without = grants(Vec::new());
    assert!(!without.has_policies());
    assert_eq!(refusal(&mut without, "shop", "203.0.113.1"), "");
    for (address, why) in [
        ("127.0.0.1", "loopback"),
        ("224.0.0.1", "one host"),
        ("169.254.0.1", "one host"),
        ("100.100.100.200", "metadata service"),
    ] {
        assert!(refusal(&mut without, "shop", address).contains(why), "{address}");
    }
    let addresses = vec!["203.0.113.1".parse().unwrap()];
    let node = NodeObject { name: "a".to_owned(), addresses, ..NodeObject::default() };
    assert!(without.update(Kind::Node, false, &[], vec![Object::Node(node.clone())]));
    assert!(!without.update(Kind::Node, false, &[], vec![Object::Node(node)]), "only addresses count");
    assert_eq!(refusal(&mut without, "shop", "203.0.113.1"), "203.0.113.1 is the address of a Node");

    let shop = json!({"namespaces": {"names": ["shop"]}, "frontends": {"addresses": ["203.0.113.0/26"]}});
    let mut with = grants(vec![policy("shop", &shop)]);
    assert_eq!(refusal(&mut with, "shop", "203.0.113.1"), "");
    assert!(refusal(&mut with, "shop", "203.0.113.64").contains("may use 203.0.113.0/26"));
    assert!(refusal(&mut with, "bank", "203.0.113.1").contains("may use none"));
    let never = lb_config("never", 1, &json!({"neverAddresses": ["203.0.113.0/28"]}));
    with.update(Kind::LoadBalancerConfig, false, &[], vec![never]);
    assert!(refusal(&mut with, "shop", "203.0.113.1").contains("neverAddresses"));
}

#[test]
fn unusable_addresses_are_skipped_as_a_whole() {
    let mut grants = grants(Vec::new());
    let never = lb_config("never", 1, &json!({"neverAddresses": ["203.0.113.0/28"]}));
    grants.update(Kind::LoadBalancerConfig, false, &[], vec![never]);
    for (address, last) in [
        ("203.0.113.1", "203.0.113.15"),
        ("127.0.0.1", "127.255.255.255"),
        ("224.0.0.1", "239.255.255.255"),
        ("255.255.255.255", "255.255.255.255"),
        ("::c000:201", "::ffff:ffff"),
        ("::ffff:192.0.2.1", "::ffff:255.255.255.255"),
        ("::1", "::1"),
        ("ff02::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ] {
        let until = grants.unusable_until(address.parse().unwrap());
        assert_eq!(until, Some(last.parse().unwrap()), "{address}");
    }
    assert_eq!(grants.unusable_until("203.0.113.16".parse().unwrap()), None);
}

#[test]
fn labels_of_namespaces_are_awaited_while_a_policy_selects_by_label() {
    let spec = json!({
        "namespaces": {"selector": {"matchLabels": {"team": "a"}}},
        "frontends": {"addresses": ["203.0.113.0/26"], "assign": "Auto"},
    });
    let mut grants = grants(vec![policy("team", &spec)]);
    assert!(grants.needs_namespaces() && !grants.is_listed());
    grants.update(Kind::Namespace, true, &[], vec![namespace("shop", "team", "a"), namespace("bank", "team", "b")]);
    assert!(grants.is_listed());
    assert_eq!(networks(&grants, "shop", &[tcp(80)]), ["team 203.0.113.1"]);
    assert!(networks(&grants, "bank", &[tcp(80)]).is_empty());
    grants.update(Kind::AddressPolicy, false, &[Name::cluster("team")], Vec::new());
    grants.unlist_namespaces();
    assert!(!grants.needs_namespaces() && grants.is_listed() && !grants.has_policies());
}

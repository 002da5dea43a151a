//! Tests of conflicts between Frontends on one address.

use serde_json::{Value, json};

use super::fixture::{IndexFixture, at, frontend, vip, with, without};
use maglev_model::config::Kind;

const VIP: &str = "203.0.113.1";

fn backends() -> Vec<crate::Object> {
    vec![at("shop/a", "10.0.0.1"), at("shop/six", "2001:db8::1"), at("other/a", "10.0.0.1")]
}

fn fixture(frontends: &[(&str, i64, Value)]) -> IndexFixture {
    let mut objects = backends();
    objects.extend(frontends.iter().map(|(name, when, spec)| frontend(name, *when, spec)));
    IndexFixture::new(objects)
}

fn all_ports(backends: &[&str]) -> Value {
    without(without(vip(VIP, 1, backends), "protocol"), "port")
}

#[test]
fn oldest_frontend_wins_and_next_takes_over_when_it_is_deleted() {
    let mut fixture = fixture(&[("shop/new", 2, vip(VIP, 80, &["a"])), ("shop/old", 1, vip(VIP, 80, &["a"]))]);
    assert_eq!(fixture.standing("shop/old"), "serving");
    assert_eq!(fixture.standing("shop/new"), "withdrawn Conflicted spec.port");
    let message = &fixture.problems(Kind::Frontend, "shop/new")[0].message;
    assert!(message.contains("Frontend shop/new") && message.contains("\"old\""), "{message}");

    let changes = fixture.delete(Kind::Frontend, "shop/old");
    assert_eq!(fixture.standing("shop/new"), "serving");
    assert_eq!(changes.vanished.len(), 1);
    assert_eq!(changes.applied.len(), 1);
}

#[test]
fn lesser_name_wins_if_created_in_the_same_second() {
    let fixture = fixture(&[("shop/b", 1, vip(VIP, 80, &["a"])), ("shop/a", 1, vip(VIP, 80, &["a"]))]);
    assert_eq!(fixture.standing("shop/a"), "serving");
    assert_eq!(fixture.standing("shop/b"), "withdrawn Conflicted spec.port");
}

#[test]
fn namespaces_are_compared_before_names() {
    let mut fixture = IndexFixture::new(vec![
        frontend("shop-a/z", 1, &vip(VIP, 80, &["a"])),
        frontend("shop/z", 1, &vip(VIP, 443, &["a"])),
    ]);
    assert_eq!(fixture.standing("shop/z"), "serving");
    assert_eq!(fixture.standing("shop-a/z"), "held AddressOwnedByOtherNamespace spec.address");
    fixture.delete(Kind::Frontend, "shop/z");
    assert_eq!(fixture.standing("shop-a/z"), "serving");
}

#[test]
fn namespace_of_oldest_owns_the_address_and_is_not_disclosed() {
    let mut fixture = fixture(&[
        ("shop/old", 1, vip(VIP, 80, &["a"])),
        ("shop/newest", 9, vip(VIP, 443, &["a"])),
        ("other/web", 2, vip(VIP, 8080, &["a"])),
    ]);
    assert_eq!(fixture.standing("shop/newest"), "serving");
    assert_eq!(fixture.standing("other/web"), "held AddressOwnedByOtherNamespace spec.address");
    let message = &fixture.problems(Kind::Frontend, "other/web")[0].message;
    assert!(!message.contains("shop") && !message.contains("old"), "{message}");

    fixture.delete(Kind::Frontend, "shop/old");
    assert_eq!(fixture.standing("other/web"), "serving");
    assert_eq!(fixture.standing("shop/newest"), "held AddressOwnedByOtherNamespace spec.address");
}

#[test]
fn all_port_and_single_port_frontends_exclude_each_other() {
    let first = fixture(&[("shop/all", 1, all_ports(&["a"])), ("shop/http", 2, vip(VIP, 80, &["a"]))]);
    assert_eq!(
        (&*first.standing("shop/all"), &*first.standing("shop/http")),
        ("serving", "withdrawn Conflicted spec.port")
    );
    let second = fixture(&[("shop/all", 3, all_ports(&["a"])), ("shop/http", 2, vip(VIP, 80, &["a"]))]);
    assert_eq!(second.standing("shop/http"), "serving");
    assert_eq!(second.standing("shop/all"), "withdrawn Conflicted spec.port");
    let third = fixture(&[("shop/all", 3, all_ports(&["a"])), ("shop/more", 4, all_ports(&["a"]))]);
    assert_eq!(third.standing("shop/more"), "withdrawn Conflicted spec.address");
}

#[test]
fn tcp_and_udp_share_a_port() {
    let dns = with(vip(VIP, 53, &["a"]), "protocol", "UDP".into());
    let fixture = fixture(&[("shop/tcp", 1, vip(VIP, 53, &["a"])), ("shop/udp", 2, dns)]);
    assert_eq!((&*fixture.standing("shop/tcp"), &*fixture.standing("shop/udp")), ("serving", "serving"));
}

#[test]
fn withdrawn_frontend_does_not_conflict_with_younger_ones() {
    // `all` loses to `http`, so `https` meets no all-port Frontend.
    let fixture = fixture(&[
        ("shop/http", 1, vip(VIP, 80, &["a"])),
        ("shop/all", 2, all_ports(&["a"])),
        ("shop/https", 3, vip(VIP, 443, &["a"])),
    ]);
    assert_eq!(fixture.standing("shop/all"), "withdrawn Conflicted spec.port");
    assert_eq!(fixture.standing("shop/https"), "serving");
}

#[test]
fn frontends_on_an_address_need_one_encap_type() {
    let l3dsr =
        |port: u16, dscp: u8| with(vip(VIP, port, &["a"]), "encap", json!({"type": "L3DSR", "l3dsr": {"dscp": dscp}}));
    let gre = |port: u16| vip(VIP, port, &["a"]);
    for (older, younger, standing) in [
        (l3dsr(80, 7), l3dsr(443, 7), "serving"),
        (l3dsr(80, 7), l3dsr(443, 8), "serving"),
        (l3dsr(80, 7), gre(443), "withdrawn Conflicted spec.encap"),
        (gre(80), l3dsr(443, 7), "withdrawn Conflicted spec.encap"),
    ] {
        let fixture = fixture(&[("shop/old", 1, older), ("shop/new", 2, younger.clone())]);
        assert_eq!(fixture.standing("shop/new"), standing, "{younger}");
    }
}

#[test]
fn compared_encap_follows_the_backends() {
    let mut fixture = fixture(&[("shop/old", 1, vip(VIP, 80, &["a"])), ("shop/new", 2, vip(VIP, 443, &["six"]))]);
    assert_eq!(fixture.standing("shop/new"), "withdrawn Conflicted spec.encap");
    let message = &fixture.problems(Kind::Frontend, "shop/new")[0].message;
    assert!(message.contains("GRE to ipv4 backends") && message.contains("GRE to ipv6 backends"), "{message}");

    // While none of its backends resolves, the older one takes part with its type only.
    fixture.delete(Kind::Backend, "shop/a");
    assert_eq!(fixture.standing("shop/new"), "serving");
    fixture.apply(at("shop/a", "2001:db8::2"));
    assert_eq!(fixture.standing("shop/new"), "serving");
    fixture.apply(at("shop/a", "10.0.0.1"));
    assert_eq!(fixture.standing("shop/new"), "withdrawn Conflicted spec.encap");
}

#[test]
fn encap_type_is_compared_without_backends() {
    let l3dsr = with(vip(VIP, 443, &["a"]), "encap", json!({"type": "L3DSR", "l3dsr": {"dscp": 1}}));
    let fixture = fixture(&[("shop/old", 1, vip(VIP, 80, &["nobody"])), ("shop/new", 2, l3dsr)]);
    assert_eq!(fixture.standing("shop/new"), "withdrawn Conflicted spec.encap");
}

#[test]
fn recreated_frontend_is_the_youngest() {
    let mut fixture = fixture(&[("shop/a", 1, vip(VIP, 80, &["a"])), ("shop/b", 2, vip(VIP, 80, &["a"]))]);
    fixture.apply(frontend("shop/a", 3, &vip(VIP, 80, &["a"])));
    assert_eq!(fixture.standing("shop/b"), "serving");
    assert_eq!(fixture.standing("shop/a"), "withdrawn Conflicted spec.port");
}

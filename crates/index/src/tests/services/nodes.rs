//! Pools with targets Nodes.

use serde_json::json;

use super::{
    super::fixture::{IndexFixture, frontend, lb_config, object, vip, with},
    DRAINING, NOT_READY, READY, backends, fixture, following, following_at, members, nodes, slice, stored, worker,
};
use crate::Object;
use maglev_model::{
    config::{AdminState, Check, Kind, Probe},
    problem::Reason,
};

#[test]
fn node_has_the_weight_of_its_ready_endpoints() {
    let mut rows = vec![("10.0.0.1", "w1", READY), ("10.0.0.2", "w1", READY), ("10.0.0.3", "w2", READY)];
    let many: Vec<String> = (1..=12).map(|number| format!("10.0.3.{number}")).collect();
    rows.extend(many.iter().map(|address| (address.as_str(), "w3", READY)));
    let mut fixture = fixture(&nodes(), vec![slice("web-1", 1, &rows)]);
    assert_eq!(members(&fixture), ["node:w1 192.0.2.1 20", "node:w2 192.0.2.2 10", "node:w3 192.0.2.3 100"]);
    assert_eq!(fixture.standing("shop/web"), "serving");
    assert!(fixture.problems(Kind::Frontend, "shop/web").is_empty());
    fixture.apply(following(&json!({"targets": "Nodes", "weight": 3})));
    assert_eq!(members(&fixture), ["node:w1 192.0.2.1 6", "node:w2 192.0.2.2 3", "node:w3 192.0.2.3 36"]);
}

#[test]
fn node_that_only_drains_keeps_its_flows_and_one_without_endpoint_is_out() {
    let rows = [("10.0.0.1", "w1", READY), ("10.0.0.2", "w2", DRAINING), ("10.0.0.3", "w3", NOT_READY)];
    let fixture = fixture(&nodes(), vec![slice("web-1", 1, &rows)]);
    assert_eq!(members(&fixture), ["node:w1 192.0.2.1 10", "node:w2 192.0.2.2 0"]);
    assert_eq!(fixture.backend("node:w2").admin_state, AdminState::Enabled, "other Services use the Node, too");
}

#[test]
fn service_without_ready_endpoint_is_no_removal() {
    let rows = [("10.0.0.1", "w1", NOT_READY), ("10.0.0.2", "w2", DRAINING)];
    let mut fixture = fixture(&nodes(), vec![slice("web-1", 1, &rows)]);
    assert_eq!(members(&fixture), ["node:w1 192.0.2.1 0", "node:w2 192.0.2.2 0"]);
    assert_eq!(fixture.standing("shop/web"), "serving");
    fixture.apply(stored(slice("web-1", 2, &[])));
    assert!(members(&fixture).is_empty());
    assert_eq!(fixture.standing("shop/web"), "serving", "the VIP stays");
    assert_eq!(fixture.reasons(Kind::Frontend, "shop/web"), [(Reason::NoBackends, "spec.pools".to_owned())]);
}

#[test]
fn every_node_has_the_same_weight_with_policy_cluster() {
    let cluster = json!({"targets": "Nodes", "externalTrafficPolicy": "Cluster"});
    let mut fixture =
        fixture(&cluster, vec![slice("web-1", 1, &[("10.0.0.1", "w1", READY), ("10.0.0.2", "w1", READY)])]);
    let all = |weight: u8| {
        let node = |node: &str, last: u8| format!("node:{node} 192.0.2.{last} {weight}");
        vec![node("node-a", 100), node("w1", 1), node("w2", 2), node("w3", 3), node("w4", 4)]
    };
    assert_eq!(members(&fixture), all(10));
    fixture.apply(stored(slice("web-1", 2, &[("10.0.0.1", "w1", NOT_READY)])));
    assert_eq!(members(&fixture), all(0));
    fixture.delete(Kind::EndpointSlice, "shop/web-1");
    assert_eq!(members(&fixture), all(0));
    assert_eq!(fixture.reasons(Kind::Frontend, "shop/web")[0].0, Reason::ServiceNotFound);
}

#[test]
fn excluded_unselected_and_addressless_nodes_are_out() {
    let rows =
        [("10.0.0.1", "w1", READY), ("10.0.0.2", "w2", READY), ("10.0.0.3", "w3", READY), ("10.0.0.4", "w4", READY)];
    let mut fixture = fixture(&nodes(), vec![slice("web-1", 1, &rows)]);
    let mut excluded = worker("w1", &["192.0.2.1"]);
    excluded.labels.insert("node.kubernetes.io/exclude-from-external-load-balancers".into(), String::new());
    fixture.apply(Object::Node(excluded));
    fixture.apply(Object::Node(worker("w2", &[])));
    assert_eq!(members(&fixture), ["node:w3 192.0.2.3 10", "node:w4 192.0.2.4 10"]);
    fixture.delete(Kind::Node, "w4");
    assert_eq!(members(&fixture), ["node:w3 192.0.2.3 10"]);
    assert_eq!(backends(&fixture), ["node:w3"], "unused Nodes are not probed");

    let mut selected = worker("w4", &["192.0.2.4"]);
    selected.labels.insert("zone".into(), "a".into());
    fixture.apply(Object::Node(selected));
    fixture.apply(lb_config("old", 1, &json!({"services": {"nodeSelector": {"zone": "a"}}})));
    assert_eq!(members(&fixture), ["node:w4 192.0.2.4 10"]);
    fixture.apply(lb_config("young", 2, &json!({"services": {}})));
    assert_eq!(members(&fixture), ["node:w4 192.0.2.4 10"], "the oldest one decides");
    let problems = fixture.reasons(Kind::LoadBalancerConfig, "young");
    assert!(problems.contains(&(Reason::Invalid, "spec.services".to_owned())), "{problems:?}");
    fixture.delete(Kind::LoadBalancerConfig, "old");
    assert_eq!(members(&fixture), ["node:w3 192.0.2.3 10", "node:w4 192.0.2.4 10"]);
}

#[test]
fn all_services_share_one_probe_of_a_node() {
    let rows = [("10.0.0.1", "w1", READY)];
    let mut fixture = fixture(&nodes(), vec![slice("web-1", 1, &rows)]);
    let pools = json!([{"name": "primary", "service": {"name": "web", "targets": "Nodes"}}]);
    fixture.apply(frontend("shop/other", 2, &with(vip("203.0.113.2", 80, &[]), "pools", pools)));
    assert_eq!(backends(&fixture), ["node:w1"]);
    let Check::Probe(check) = fixture.health_check("node:w1") else { panic!("it is probed") };
    let Probe::Http { port, http, tls: None } = &check.probe else { panic!("{check:?}") };
    assert_eq!((port.get(), http.path.as_str()), (10256, "/livez"));
    assert!(fixture.config().health_checks.contains_key(&check.name), "mirrors look the check up");

    let services = |check| lb_config("l", 1, &json!({"services": {"nodeHealthCheck": check}}));
    fixture.apply(services(json!({"type": "TCP", "port": 22})));
    let Check::Probe(check) = fixture.health_check("node:w1") else { panic!("it is probed") };
    assert!(matches!(&check.probe, Probe::Tcp { port, .. } if port.get() == 22), "{check:?}");
    fixture.apply(services(json!({"type": "None"})));
    assert_eq!(fixture.health_check("node:w1"), Check::None);
    assert!(fixture.config().health_checks.is_empty());
    fixture.delete(Kind::Frontend, "shop/web");
    assert_eq!(backends(&fixture), ["node:w1"], "the other Frontend uses it");
    fixture.delete(Kind::Frontend, "shop/other");
    assert!(backends(&fixture).is_empty());
}

#[test]
fn address_is_of_the_family_of_the_vip_if_the_node_has_one() {
    let mut fixture = fixture(&nodes(), vec![slice("web-1", 1, &[("10.0.0.1", "w1", READY)])]);
    fixture.apply(Object::Node(worker("w1", &["192.0.2.1", "2001:db8::1"])));
    let six = |service: &str| {
        let pools = json!([{"name": "primary", "service": {"name": service, "targets": "Nodes"}}]);
        frontend("shop/six", 1, &with(vip("2001:db8:f::1", 80, &[]), "pools", pools))
    };
    fixture.apply(six("web"));
    assert_eq!(members(&fixture), ["node:w1 192.0.2.1 10"]);
    assert_eq!(fixture.member_names("shop/six"), ["node:w1:ipv6"]);
    assert_eq!(backends(&fixture), ["node:w1", "node:w1:ipv6"]);
    fixture.apply(Object::Node(worker("w1", &["192.0.2.1"])));
    assert_eq!(fixture.member_names("shop/six"), ["node:w1"]);
    assert_eq!(backends(&fixture), ["node:w1"]);
}

#[test]
fn changed_claim_keeps_the_backends() {
    let mut fixture = fixture(&nodes(), vec![slice("web-1", 1, &[("10.0.0.1", "w1", READY)])]);
    fixture.apply(following_at("203.0.113.9", &nodes()));
    assert_eq!(members(&fixture), ["node:w1 192.0.2.1 10"]);
    // Another object of the same name.
    fixture.apply(object(Kind::Frontend, "shop/web", 7, 1, &vip("203.0.113.9", 80, &[])));
    assert!(backends(&fixture).is_empty());
}

#[test]
fn policies_of_a_namespace_do_not_decide_on_nodes() {
    let mut fixture: IndexFixture = fixture(&nodes(), vec![slice("web-1", 1, &[("10.0.0.1", "w1", READY)])]);
    let policy = json!({"namespaces": {"names": ["shop"]}, "frontends": {"addresses": ["203.0.113.0/24"]}, "backends": {"addresses": ["10.9.0.0/16"]}});
    fixture.apply(super::super::fixture::policy("p", &policy));
    assert_eq!(members(&fixture), ["node:w1 192.0.2.1 10"]);
    assert_eq!(fixture.index.policy_counts().values().next().unwrap().violations, 0);
}

#[test]
fn only_changes_of_written_objects_are_counted() {
    let mut fixture = fixture(&nodes(), vec![slice("web-1", 1, &[("10.0.0.1", "w1", READY)])]);
    let mut written = |object: Object| {
        let before = fixture.config();
        fixture.apply(object);
        let after = fixture.config();
        assert_ne!(before.frontends, after.frontends, "the change has an effect");
        after.written - before.written
    };
    assert_eq!(written(stored(slice("web-1", 2, &[("10.0.0.1", "w1", READY), ("10.0.0.2", "w2", READY)]))), 0);
    assert_eq!(written(Object::Node(worker("w1", &["192.0.2.77"]))), 0);
    let pools = json!([{"name": "primary", "service": {"name": "web", "targets": "Nodes", "weight": 3}}]);
    let edited = with(vip("203.0.113.1", 80, &[]), "pools", pools);
    assert_eq!(written(object(Kind::Frontend, "shop/web", 1, 2, &edited)), 1);
}

//! Drained Nodes.

use std::time::Duration;

use serde_json::json;

use super::{
    super::fixture::{IndexFixture, frontend, lb_config, vip, with},
    NOT_READY, READY, endpoints, fixture, following, members, nodes, slice, stored, worker,
};
use crate::{NodeObject, Object};
use maglev_model::{
    config::{AdminState, Kind},
    drain::{DrainConf, OnDeadline},
};

const ROWS: [super::Row<'_>; 2] = [("10.0.0.1", "w1", READY), ("10.0.0.2", "w2", READY)];

/// The Node `w1` with a value of the annotation.
fn drained(value: &str) -> NodeObject {
    NodeObject { drain: Some(value.to_owned()), ..worker("w1", &["192.0.2.1"]) }
}

fn cause(fixture: &IndexFixture, backend: &str) -> String {
    fixture.backend(backend).pause_cause.clone().unwrap_or_default().to_string()
}

#[test]
fn drained_node_gets_no_new_flows_in_any_pool_until_it_is_undrained() {
    let mut fixture = fixture(&nodes(), vec![slice("web-1", 1, &ROWS)]);
    let pool = json!({"name": "web", "targets": "Nodes", "externalTrafficPolicy": "Cluster"});
    let pools = json!([{"name": "primary", "service": pool}]);
    fixture.apply(frontend("shop/other", 2, &with(vip("203.0.113.2", 80, &[]), "pools", pools)));
    let before = fixture.config();

    fixture.apply(Object::Node(drained("true")));
    assert_eq!(members(&fixture), ["node:w1 192.0.2.1 10*", "node:w2 192.0.2.2 10"], "the Node stays with its flows");
    let frontends = fixture.config().frontends;
    let paused = frontends.values().flat_map(|frontend| &frontend.pools[0].members);
    let paused = paused.filter(|member| fixture.backend(member.backend.as_str()).admin_state == AdminState::Paused);
    assert_eq!(paused.map(|member| member.backend.to_string()).collect::<Vec<_>>(), ["node:w1"; 2]);
    assert_eq!(cause(&fixture, "node:w1"), "Node w1 has the annotation maglev.vpp.io/drain");
    assert_eq!(cause(&fixture, "node:w2"), "");
    assert!(fixture.problems(Kind::Frontend, "shop/web").is_empty());

    fixture.apply(Object::Node(worker("w1", &["192.0.2.1"])));
    let after = fixture.config();
    assert_eq!((after.frontends, after.backends), (before.frontends, before.backends));
}

#[test]
fn annotation_may_have_a_deadline() {
    let mut fixture = fixture(&nodes(), vec![slice("web-1", 1, &ROWS)]);
    let deadline = Some(Duration::from_mins(10));
    for (value, deadline, on_deadline) in [
        ("", None, OnDeadline::Keep),
        ("10m", deadline, OnDeadline::Keep),
        ("10m Flush", deadline, OnDeadline::Flush),
        ("10 minutes", None, OnDeadline::Keep),
    ] {
        fixture.apply(Object::Node(drained(value)));
        let backend = fixture.backend("node:w1");
        assert_eq!(backend.admin_state, AdminState::Paused, "{value:?}");
        assert_eq!(backend.drain, DrainConf { deadline, on_deadline }, "{value:?}");
        assert_eq!(cause(&fixture, "node:w1").contains("not a deadline"), value == "10 minutes");
    }
    fixture.apply(Object::Node(drained("false")));
    assert_eq!(fixture.backend("node:w1").admin_state, AdminState::Enabled);
}

#[test]
fn cordon_drains_a_node_only_with_drain_on() {
    let mut fixture = fixture(&nodes(), vec![slice("web-1", 1, &ROWS)]);
    let cordoned = NodeObject { unschedulable: true, ..worker("w1", &["192.0.2.1"]) };
    let (enabled, paused) = (["node:w1 192.0.2.1 10", "node:w2 192.0.2.2 10"], "node:w1 192.0.2.1 10*");
    fixture.apply(Object::Node(cordoned));
    assert_eq!(members(&fixture), enabled);
    fixture.apply(lb_config("l", 1, &json!({"services": {"drainOn": ["Unschedulable"]}})));
    assert_eq!(members(&fixture), [paused, enabled[1]]);
    assert_eq!(
        cause(&fixture, "node:w1"),
        "Node w1 is unschedulable, and services.drainOn of the LoadBalancerConfig has Unschedulable"
    );
    fixture.apply(lb_config("l", 2, &json!({"services": {}})));
    assert_eq!(members(&fixture), enabled);
    fixture.apply(lb_config("l", 3, &json!({"services": {"drainOn": ["Unschedulable"]}})));
    fixture.apply(Object::Node(worker("w1", &["192.0.2.1"])));
    assert_eq!(members(&fixture), enabled, "uncordoned");
}

#[test]
fn endpoints_on_a_drained_node_are_drained() {
    let mut fixture = fixture(&endpoints(), vec![slice("web-1", 1, &ROWS)]);
    let enabled = ["shop/web@10.0.0.1 10.0.0.1 10", "shop/web@10.0.0.2 10.0.0.2 10"];
    assert_eq!(members(&fixture), enabled);
    fixture.apply(Object::Node(drained("true")));
    assert_eq!(members(&fixture), ["shop/web@10.0.0.1 10.0.0.1 10*", enabled[1]]);
    assert_eq!(cause(&fixture, "shop/web@10.0.0.1"), "Node w1 has the annotation maglev.vpp.io/drain");
    fixture.apply(stored(slice("web-1", 2, &[("10.0.0.1", "w1", NOT_READY)])));
    assert_eq!(cause(&fixture, "shop/web@10.0.0.1"), "the endpoint terminates or is not ready");
    fixture.apply(stored(slice("web-1", 3, &ROWS)));
    fixture.delete(Kind::Node, "w1");
    assert_eq!(members(&fixture), enabled, "a Node that is gone is not drained");
}

#[test]
fn node_that_is_drained_and_excluded_is_out() {
    let mut fixture = fixture(&nodes(), vec![slice("web-1", 1, &ROWS)]);
    let mut excluded = drained("true");
    excluded.labels.insert("node.kubernetes.io/exclude-from-external-load-balancers".into(), String::new());
    fixture.apply(Object::Node(excluded));
    assert_eq!(members(&fixture), ["node:w2 192.0.2.2 10"]);
    fixture.apply(following(&endpoints()));
    assert_eq!(members(&fixture)[0], "shop/web@10.0.0.1 10.0.0.1 10*");
}

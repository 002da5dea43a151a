//! MaglevNodes and LoadBalancerConfigs.

use std::sync::Arc;

use serde_json::json;

use super::scene::{Scene, frontend_spec, name};
use crate::links::{LinkFailure, LinkUpdate};
use maglev_crd::Capability;
use maglev_kube::cluster_watch::BoundPod;
use maglev_model::{
    actual::{Actual, ActualConf},
    change::{Change, ConfigDelta, Problems, SyncHold, VipState},
    config::Kind,
    event::ProgramResult,
    problem::{Problem, Reason},
    vip::{Family, Protocol, Service, VipKey},
};

#[test]
fn maglev_node_is_created_for_each_agent_and_shows_its_reports() {
    let mut scene = Scene::with_nodes(&["a"]);
    let written = scene.reconcile();
    assert_eq!(written, ["answer MaglevNode a"]);
    assert_eq!(scene.condition_of("MaglevNode", "a", "AgentConnected"), "True Connected");
    assert_eq!(scene.condition_of("MaglevNode", "a", "VPPConnected"), "True Connected");
    assert_eq!(scene.condition_of("MaglevNode", "a", "Ready"), "True Ready");
    assert_eq!(scene.node_status("a").capabilities, [], "the state of VPP has not been read yet");

    let conf = ActualConf {
        ipv4_source: std::net::Ipv4Addr::BROADCAST,
        ipv6_source: std::net::Ipv6Addr::LOCALHOST,
        sticky_buckets_per_core: 1024,
        flow_timeout: 40,
    };
    scene.apply_change("a", Change::VppState(conf, Arc::new(Actual::default())));
    let port = "80".parse().unwrap();
    let vip =
        VipKey { address: "203.0.113.1".parse().unwrap(), service: Service::Port { protocol: Protocol::Tcp, port } };
    let servers = [("10.0.0.1", 10), ("10.0.0.2", 0)].map(|(address, weight)| (address.parse().unwrap(), weight));
    let state = VipState { servers: servers.into(), ..VipState::default() };
    scene.apply_change("a", Change::Vip(vip.into(), Some(state)));
    scene.apply_change("a", Change::Server(vip.into(), "10.0.0.1".parse().unwrap(), Some(20)));
    scene.apply_change("a", Change::Server(vip.into(), "10.0.0.3".parse().unwrap(), Some(1)));
    scene.apply_change("a", Change::Synced(0));
    scene.engine.mark_nodes();
    scene.reconcile();
    let status = scene.node_status("a");
    assert_eq!((status.vips, status.application_servers), (Some(1), Some(3)));
    assert_eq!(status.capabilities, [Capability::Weights]);
    assert_eq!(status.vpp.unwrap().version.as_deref(), Some("26.10"));
    assert!(status.last_sync_time.is_some());

    scene.apply_change("a", Change::VppDisconnected);
    scene.reconcile();
    assert_eq!(scene.condition_of("MaglevNode", "a", "VPPConnected"), "False NotConnected");
    assert_eq!((scene.node_status("a").vips, scene.node_status("a").vpp), (None, None));
    scene.engine.apply_link(LinkUpdate::Link("a".into(), Err("connection refused".into())));
    scene.reconcile();
    assert_eq!(scene.condition_of("MaglevNode", "a", "AgentConnected"), "False NotConnected");
    assert_eq!(scene.condition_of("MaglevNode", "a", "VPPConnected"), "Unknown AgentNotConnected");
    assert_eq!(scene.condition_of("MaglevNode", "a", "Ready"), "False NotConnected");
    for reason in ["TLSNotTrusted", "TokenRefused"] {
        let failure = LinkFailure { reason, error: format!("{reason}: the reason").as_str().into() };
        scene.engine.apply_link(LinkUpdate::Link("a".into(), Err(failure)));
        scene.reconcile();
        assert_eq!(scene.condition_of("MaglevNode", "a", "AgentConnected"), format!("False {reason}"));
    }
}

#[test]
fn maglev_node_shows_failing_frontends_suspicion_and_holds() {
    let mut scene = Scene::programmed(&["a"]);
    scene.report_program("a", "shop/web", ProgramResult::Failed, "NoSourceAddress");
    scene.apply_change("a", Change::Suspect(Family::V4, true));
    let hold = SyncHold { id: "h-1".into(), removals: 7, change: None, until: scene.now.wall };
    scene.apply_change("a", Change::Held(hold));
    scene.reconcile();
    let status = scene.node_status("a");
    assert_eq!(status.frontends_failed, Some(1));
    let named: Vec<_> = status
        .failing_frontends
        .iter()
        .map(|failing| format!("{}/{} {}", failing.namespace, failing.name, failing.reason))
        .collect();
    assert_eq!(named, ["shop/web NoSourceAddress"]);
    assert_eq!(scene.condition_of("MaglevNode", "a", "ProbePathSuspect"), "True AllProbesFail");
    assert_eq!(scene.condition_of("MaglevNode", "a", "RemovalHeld"), "True RemovalHeld");
    scene.apply_change("a", Change::Released("h-1".into()));
    scene.apply_change("a", Change::Suspect(Family::V4, false));
    scene.reconcile();
    assert_eq!(scene.condition_of("MaglevNode", "a", "RemovalHeld"), "");
    assert_eq!(scene.condition_of("MaglevNode", "a", "ProbePathSuspect"), "");
}

#[test]
fn list_of_failing_frontends_is_truncated() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.backend("shop/one", "10.0.0.1");
    for n in 0..60 {
        let mut spec = frontend_spec(&["one"]);
        spec["port"] = json!(1000 + n);
        scene.frontend(&format!("shop/f{n:02}"), &spec);
    }
    for n in 0..60 {
        scene.report_program("a", &format!("shop/f{n:02}"), ProgramResult::Held, "RemovalHeld");
    }
    scene.reconcile();
    let status = scene.node_status("a");
    assert_eq!((status.frontends_held, status.failing_frontends.len(), status.truncated), (Some(60), 50, Some(true)));
}

#[test]
fn maglev_node_is_deleted_five_minutes_after_its_agent() {
    let mut scene = Scene::programmed(&["a", "b"]);
    scene.pods.remove(&maglev_model::Name::namespaced("lb", "maglevd-b"));
    scene.publish_pods();
    scene.advance(299);
    scene.reconcile();
    assert_eq!(scene.frontend_status("shop/web").nodes_summary.as_deref(), Some("2/2"));
    scene.advance(1);
    scene.reconcile();
    assert!(scene.is_stored("MaglevNode", "a") && !scene.is_stored("MaglevNode", "b"));
    assert_eq!(scene.frontend_status("shop/web").nodes_summary.as_deref(), Some("1/1"));
}

#[test]
fn oldest_selecting_config_is_used_and_others_are_conflicted() {
    let mut scene = Scene::with_nodes(&["a", "b"]);
    scene.node("b", &[("role", "edge")]);
    scene.publish_nodes();
    scene.object("LoadBalancerConfig", "all", &json!({}));
    scene.object("LoadBalancerConfig", "edge", &json!({"nodeSelector": {"role": "edge"}}));
    scene.object("LoadBalancerConfig", "nowhere", &json!({"nodeSelector": {"role": "none"}}));
    scene.reconcile();
    assert_eq!(scene.condition_of("LoadBalancerConfig", "all", "Ready"), "True Ready");
    assert_eq!(scene.condition_of("LoadBalancerConfig", "edge", "Conflicted"), "True Conflicted");
    assert_eq!(scene.condition_of("LoadBalancerConfig", "edge", "Ready"), "False Conflicted");
    assert_eq!(scene.condition_of("LoadBalancerConfig", "nowhere", "Ready"), "True Ready");
    let nodes = |scene: &Scene, name: &str| scene.statuses()[&format!("LoadBalancerConfig {name}")]["nodes"].clone();
    assert_eq!((nodes(&scene, "all"), nodes(&scene, "edge"), nodes(&scene, "nowhere")), (json!(2), json!(0), json!(0)));
    assert_eq!(scene.node_status("b").load_balancer_config.as_deref(), Some("all"));
    scene.delete("LoadBalancerConfig", "all");
    scene.reconcile();
    assert_eq!(scene.condition_of("LoadBalancerConfig", "edge", "Ready"), "True Ready");
    assert_eq!(scene.node_status("b").load_balancer_config.as_deref(), Some("edge"));
    assert_eq!(scene.node_status("a").load_balancer_config, None);
}

#[test]
fn agent_that_connects_before_its_node_is_listed_counts_afterwards() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.connect_agent("b");
    scene.publish_nodes();
    scene.node("b", &[]);
    scene.pods.insert(name("lb/maglevd-b"), BoundPod { node: "b".into() });
    scene.publish_nodes();
    scene.publish_pods();
    scene.reconcile();
    assert_eq!(scene.condition_of("MaglevNode", "b", "AgentConnected"), "True Connected");
    assert_eq!((scene.engine.serving_node_count(), scene.engine.silent_node_count()), (2, 0));
}

#[test]
fn node_that_is_registered_again_keeps_its_connected_agent() {
    let mut scene = Scene::programmed(&["a", "b"]);
    scene.delete_node("b");
    scene.reconcile();
    assert!(!scene.is_stored("MaglevNode", "b"));
    assert_eq!(scene.frontend_status("shop/web").nodes_summary.as_deref(), Some("1/1"));
    // The agent's connection stays, so its state is not sent again: only changes are.
    scene.backend("shop/two", "10.0.0.2");
    scene.frontend("shop/web", &frontend_spec(&["one", "two"]));
    for node in ["a", "b"] {
        scene.report_program(node, "shop/web", ProgramResult::Programmed, "");
    }
    scene.reconcile();
    scene.node("b", &[]);
    scene.publish_nodes();
    scene.reconcile();
    assert_eq!(scene.condition_of("MaglevNode", "b", "AgentConnected"), "True Connected");
    assert_eq!(scene.condition_of("MaglevNode", "b", "VPPConnected"), "True Connected");
    assert_eq!(scene.frontend_status("shop/web").nodes_summary.as_deref(), Some("2/2"));
    assert_eq!(scene.condition("shop/web", "Programmed"), "True Programmed");
}

#[test]
fn agent_is_forgotten_once_its_node_and_its_link_are_removed() {
    for node_first in [true, false] {
        let mut scene = Scene::programmed(&["a", "b"]);
        if node_first {
            scene.delete_node("b");
        }
        scene.engine.apply_link(LinkUpdate::Removed("b".into()));
        if !node_first {
            scene.delete_node("b");
        }
        scene.node("b", &[]);
        scene.publish_nodes();
        assert_eq!(scene.engine.silent_node_count(), 1, "the reports of the former machine do not count");
    }
}

#[test]
fn health_check_problems_of_nodes_are_reported_with_their_names() {
    let mut scene = Scene::with_nodes(&["a", "b"]);
    scene.check("shop/tls");
    scene.reconcile();
    assert_eq!(scene.condition_of("HealthCheck", "shop/tls", "Accepted"), "True Accepted");
    let change = |problems: Vec<Problem>| {
        let problems = Problems { generation: 1, problems: problems.into() };
        Change::Config(Arc::new(ConfigDelta {
            problems: vec![((Kind::HealthCheck, name("shop/tls")), problems)],
            ..ConfigDelta::default()
        }))
    };
    let missing = Problem::new(Reason::CertificateNotFound, "spec.tls.caCertificateRef", "there is no ConfigMap ca");
    // Problems that follow from the spec are reported once, by the index.
    let invalid = Problem::new(Reason::Invalid, "spec.port", "found by an agent");
    scene.apply_change("a", change(vec![missing.clone(), invalid.clone()]));
    scene.reconcile();
    assert_eq!(scene.condition_of("HealthCheck", "shop/tls", "Accepted"), "False CertificateNotFound");
    assert_eq!(scene.condition_of("HealthCheck", "shop/tls", "Ready"), "False CertificateNotFound");
    let message = scene.message_of("HealthCheck", "shop/tls", "Accepted");
    assert_eq!(message, "on 1 of 2 nodes (a): there is no ConfigMap ca");
    scene.apply_change("b", change(vec![missing]));
    scene.reconcile();
    let message = scene.message_of("HealthCheck", "shop/tls", "Accepted");
    assert_eq!(message, "on 2 of 2 nodes (a, b): there is no ConfigMap ca");
    for node in ["a", "b"] {
        scene.apply_change(node, change(Vec::new()));
    }
    scene.reconcile();
    assert_eq!(scene.condition_of("HealthCheck", "shop/tls", "Ready"), "True Ready");
}

//! MaglevNodes and LoadBalancerConfigs.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;

use super::scene::{Scene, frontend_spec, name};
use crate::links::LinkNews;
use maglev_crd::Capability;
use maglev_kube::cluster_watch::BoundPod;
use maglev_model::{
    actual::{Actual, ActualConf},
    change::{Change, ConfigDelta, Hold, Problems, VipState},
    config::Kind,
    event::ProgramResult,
    problem::{Problem, Reason},
    vip::{Family, Protocol, Service, VipKey},
};

#[test]
fn a_maglev_node_is_made_for_each_agent_and_says_what_the_agent_says() {
    let mut scene = Scene::with_nodes(&["a"]);
    let written = scene.settle();
    assert_eq!(written, ["answer MaglevNode a"]);
    assert_eq!(scene.said_of("MaglevNode", "a", "AgentConnected"), "True Connected");
    assert_eq!(scene.said_of("MaglevNode", "a", "VPPConnected"), "True Connected");
    assert_eq!(scene.said_of("MaglevNode", "a", "Ready"), "True Ready");
    assert_eq!(scene.node_status("a").capabilities, [], "not read yet");

    let conf = ActualConf {
        ipv4_source: std::net::Ipv4Addr::BROADCAST,
        ipv6_source: std::net::Ipv6Addr::LOCALHOST,
        sticky_buckets_per_core: 1024,
        flow_timeout: 40,
    };
    scene.tell("a", Change::VppState(conf, Arc::new(Actual::default())));
    let port = "80".parse().unwrap();
    let vip =
        VipKey { address: "203.0.113.1".parse().unwrap(), service: Service::Port { protocol: Protocol::Tcp, port } };
    let servers = [("10.0.0.1", 10), ("10.0.0.2", 0)].map(|(address, weight)| (address.parse().unwrap(), weight));
    let state = VipState { servers: Arc::new(BTreeMap::from(servers)), ..VipState::default() };
    scene.tell("a", Change::Vip(vip.into(), Some(state)));
    scene.tell("a", Change::Server(vip.into(), "10.0.0.1".parse().unwrap(), Some(20)));
    scene.tell("a", Change::Server(vip.into(), "10.0.0.3".parse().unwrap(), Some(1)));
    scene.tell("a", Change::Synced(0));
    scene.world.touch_nodes();
    scene.settle();
    let status = scene.node_status("a");
    assert_eq!((status.vips, status.application_servers), (Some(1), Some(3)));
    assert_eq!(status.capabilities, [Capability::Weights]);
    assert_eq!(status.vpp.unwrap().version.as_deref(), Some("26.10"));
    assert!(status.last_sync_time.is_some());

    scene.tell("a", Change::VppDisconnected);
    scene.settle();
    assert_eq!(scene.said_of("MaglevNode", "a", "VPPConnected"), "False NotConnected");
    assert_eq!((scene.node_status("a").vips, scene.node_status("a").vpp), (None, None));
    scene.world.take_link(LinkNews::Link("a".into(), Err("it does not answer".into())));
    scene.settle();
    assert_eq!(scene.said_of("MaglevNode", "a", "AgentConnected"), "False NotConnected");
    assert_eq!(scene.said_of("MaglevNode", "a", "VPPConnected"), "Unknown AgentNotConnected");
    assert_eq!(scene.said_of("MaglevNode", "a", "Ready"), "False NotConnected");
}

#[test]
fn failing_frontends_suspicion_and_holds_are_named() {
    let mut scene = Scene::programmed(&["a"]);
    scene.reports("a", "shop/web", ProgramResult::Failed, "NoSourceAddress");
    scene.tell("a", Change::Suspect(Family::V4, true));
    let hold = Hold { id: "h-1".into(), removals: 7, until: scene.now.wall };
    scene.tell("a", Change::Held(hold));
    scene.settle();
    let status = scene.node_status("a");
    assert_eq!(status.frontends_failed, Some(1));
    let named: Vec<_> =
        status.failing_frontends.iter().map(|of| format!("{}/{} {}", of.namespace, of.name, of.reason)).collect();
    assert_eq!(named, ["shop/web NoSourceAddress"]);
    assert_eq!(scene.said_of("MaglevNode", "a", "ProbePathSuspect"), "True AllProbesFail");
    assert_eq!(scene.said_of("MaglevNode", "a", "RemovalHeld"), "True RemovalHeld");
    scene.tell("a", Change::Released("h-1".into()));
    scene.tell("a", Change::Suspect(Family::V4, false));
    scene.settle();
    assert_eq!(scene.said_of("MaglevNode", "a", "RemovalHeld"), "");
    assert_eq!(scene.said_of("MaglevNode", "a", "ProbePathSuspect"), "");
}

#[test]
fn more_failing_frontends_than_are_named_are_said_to_be_more() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.backend("shop/one", "10.0.0.1");
    for n in 0..60 {
        let mut spec = frontend_spec(&["one"]);
        spec["port"] = json!(1000 + n);
        scene.frontend(&format!("shop/f{n:02}"), &spec);
    }
    for n in 0..60 {
        scene.reports("a", &format!("shop/f{n:02}"), ProgramResult::Held, "RemovalHeld");
    }
    scene.settle();
    let status = scene.node_status("a");
    assert_eq!((status.frontends_held, status.failing_frontends.len(), status.truncated), (Some(60), 50, Some(true)));
}

#[test]
fn a_node_without_an_agent_for_five_minutes_loses_its_maglev_node() {
    let mut scene = Scene::programmed(&["a", "b"]);
    scene.pods.remove(&maglev_model::Name::namespaced("lb", "maglevd-b"));
    scene.tell_pods();
    scene.pass(299);
    scene.settle();
    assert_eq!(scene.frontend_status("shop/web").nodes_summary.as_deref(), Some("2/2"));
    scene.pass(1);
    scene.settle();
    assert!(scene.is_stored("MaglevNode", "a") && !scene.is_stored("MaglevNode", "b"));
    assert_eq!(scene.frontend_status("shop/web").nodes_summary.as_deref(), Some("1/1"));
}

#[test]
fn the_oldest_config_that_selects_a_node_is_used_and_the_others_are_conflicted() {
    let mut scene = Scene::with_nodes(&["a", "b"]);
    scene.node("b", &[("role", "edge")]);
    scene.tell_nodes();
    scene.object("LoadBalancerConfig", "all", &json!({}));
    scene.object("LoadBalancerConfig", "edge", &json!({"nodeSelector": {"role": "edge"}}));
    scene.object("LoadBalancerConfig", "nowhere", &json!({"nodeSelector": {"role": "none"}}));
    scene.settle();
    assert_eq!(scene.said_of("LoadBalancerConfig", "all", "Ready"), "True Ready");
    assert_eq!(scene.said_of("LoadBalancerConfig", "edge", "Conflicted"), "True Conflicted");
    assert_eq!(scene.said_of("LoadBalancerConfig", "edge", "Ready"), "False Conflicted");
    assert_eq!(scene.said_of("LoadBalancerConfig", "nowhere", "Ready"), "True Ready");
    let nodes = |scene: &Scene, of: &str| scene.statuses()[&format!("LoadBalancerConfig {of}")]["nodes"].clone();
    assert_eq!((nodes(&scene, "all"), nodes(&scene, "edge"), nodes(&scene, "nowhere")), (json!(2), json!(0), json!(0)));
    assert_eq!(scene.node_status("b").load_balancer_config.as_deref(), Some("all"));
    scene.delete("LoadBalancerConfig", "all");
    scene.settle();
    assert_eq!(scene.said_of("LoadBalancerConfig", "edge", "Ready"), "True Ready");
    assert_eq!(scene.node_status("b").load_balancer_config.as_deref(), Some("edge"));
    assert_eq!(scene.node_status("a").load_balancer_config, None);
    let _ = name("a");
}

#[test]
fn an_agent_that_is_heard_before_its_node_is_seen_counts_once_that_is() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.hear("b");
    scene.tell_nodes();
    scene.node("b", &[]);
    scene.pods.insert(name("lb/maglevd-b"), BoundPod { node: "b".into() });
    scene.tell_nodes();
    scene.tell_pods();
    scene.settle();
    assert_eq!(scene.said_of("MaglevNode", "b", "AgentConnected"), "True Connected");
    assert_eq!(scene.world.heard(), (2, 0));
}

#[test]
fn what_nodes_lack_for_a_health_check_is_told_with_their_names_until_they_have_it() {
    let mut scene = Scene::with_nodes(&["a", "b"]);
    scene.check("shop/tls");
    scene.settle();
    assert_eq!(scene.said_of("HealthCheck", "shop/tls", "Accepted"), "True Accepted");
    let told = |problems: Vec<Problem>| {
        let found = Problems { generation: 1, problems: problems.into() };
        Change::Config(Arc::new(ConfigDelta {
            problems: vec![((Kind::HealthCheck, name("shop/tls")), found)],
            ..ConfigDelta::default()
        }))
    };
    let missing = Problem::new(Reason::CertificateNotFound, "spec.tls.caCertificateRef", "there is no ConfigMap ca");
    // What follows from the spec is told from the spec, once.
    let invalid = Problem::new(Reason::Invalid, "spec.port", "an agent's word for it");
    scene.tell("a", told(vec![missing.clone(), invalid.clone()]));
    scene.settle();
    assert_eq!(scene.said_of("HealthCheck", "shop/tls", "Accepted"), "False CertificateNotFound");
    assert_eq!(scene.said_of("HealthCheck", "shop/tls", "Ready"), "False CertificateNotFound");
    let message = scene.message_of("HealthCheck", "shop/tls", "Accepted");
    assert_eq!(message, "on 1 of 2 nodes (a): there is no ConfigMap ca");
    scene.tell("b", told(vec![missing]));
    scene.settle();
    let message = scene.message_of("HealthCheck", "shop/tls", "Accepted");
    assert_eq!(message, "on 2 of 2 nodes (a, b): there is no ConfigMap ca");
    for node in ["a", "b"] {
        scene.tell(node, told(Vec::new()));
    }
    scene.settle();
    assert_eq!(scene.said_of("HealthCheck", "shop/tls", "Ready"), "True Ready");
}

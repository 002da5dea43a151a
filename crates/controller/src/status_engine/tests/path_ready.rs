//! The condition PathReady, from the path probes that the agents report.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::scene::{Scene, name};
use crate::links::LinkUpdate;
use maglev_model::{
    change::Change,
    path::{PathHealth, PathKey, PathState},
    view::View,
};

fn spec(probe: &Value) -> Value {
    let pools = json!([{"name": "primary", "backends": [{"name": "one"}, {"name": "two"}]}]);
    json!({"address": "203.0.113.1", "protocol": "TCP", "port": 80, "pools": pools, "pathProbe": probe})
}

fn scene(nodes: &[&str]) -> Scene {
    let mut scene = Scene::with_nodes(nodes);
    scene.backend("shop/one", "10.0.0.1");
    scene.backend("shop/two", "10.0.0.2");
    scene.frontend("shop/web", &spec(&json!({})));
    scene.reconcile();
    scene
}

fn key(backend: &str) -> PathKey {
    PathKey { frontend: name("shop/web"), backend: name(backend) }
}

fn health(state: PathState) -> PathHealth {
    PathHealth {
        address: [10, 0, 0, 1].into(),
        state,
        since: Timestamp::UNIX_EPOCH,
        in_doubt: false,
        detail: "".into(),
    }
}

fn report(scene: &mut Scene, node: &str, backend: &str, state: PathState) {
    scene.apply_change(node, Change::Path(key(backend), Some(health(state))));
    scene.reconcile();
}

#[test]
fn condition_has_the_most_frequent_failure_of_all_nodes() {
    let mut scene = scene(&["a", "b"]);
    assert_eq!(scene.condition("shop/web", "PathReady"), "", "no node has reported a path");
    report(&mut scene, "a", "shop/one", PathState::Ok);
    report(&mut scene, "a", "shop/two", PathState::Unknown);
    assert_eq!(scene.condition("shop/web", "PathReady"), "Unknown Pending");
    report(&mut scene, "a", "shop/two", PathState::Ok);
    assert_eq!(scene.condition("shop/web", "PathReady"), "True PathOK");
    let ready = scene.condition("shop/web", "Ready");
    report(&mut scene, "b", "shop/one", PathState::Unable);
    assert_eq!(scene.condition("shop/web", "PathReady"), "Unknown Unable");
    report(&mut scene, "a", "shop/two", PathState::MtuTooSmall);
    assert_eq!(scene.condition("shop/web", "PathReady"), "False MtuTooSmall");
    report(&mut scene, "a", "shop/one", PathState::Refused);
    report(&mut scene, "b", "shop/one", PathState::Refused);
    assert_eq!(scene.condition("shop/web", "PathReady"), "False PathRefused");
    let message = scene.message("shop/web", "PathReady");
    let expected = "packets to the VIP do not work on 3 of 3 paths: one from a: PathRefused, two from a: MtuTooSmall, \
                    one from b: PathRefused";
    assert_eq!(message, expected);
    assert_eq!(scene.condition("shop/web", "Ready"), ready, "not part of Ready");
    for backend in ["shop/one", "shop/two"] {
        scene.apply_change("a", Change::Path(key(backend), None));
    }
    scene.apply_change("b", Change::Path(key("shop/one"), None));
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "PathReady"), "");
}

#[test]
fn restarted_agent_keeps_the_last_state_until_it_has_probed() {
    let mut scene = scene(&["a"]);
    report(&mut scene, "a", "shop/one", PathState::Timeout);
    let mut view = View::default();
    scene.reset("a", &view);
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "PathReady"), "False PathTimeout", "nothing listed yet");
    view.node = Some(std::sync::Arc::default());
    view.health.paths.insert(key("shop/one"), health(PathState::Unknown));
    scene.reset("a", &view);
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "PathReady"), "False PathTimeout", "not probed yet");
    report(&mut scene, "a", "shop/one", PathState::Ok);
    assert_eq!(scene.condition("shop/web", "PathReady"), "True PathOK");
}

#[test]
fn new_leader_keeps_the_condition_until_agents_report() {
    let mut scene = scene(&["a"]);
    report(&mut scene, "a", "shop/one", PathState::Timeout);
    scene.next_leader();
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "PathReady"), "False PathTimeout");
    let mut view = View::default();
    view.health.paths.insert(key("shop/one"), health(PathState::Ok));
    scene.engine.apply_link(LinkUpdate::Link("a".into(), Ok(())));
    scene.reset("a", &view);
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "PathReady"), "True PathOK");
}

#[test]
fn frontend_whose_path_is_not_probed_has_no_condition() {
    let mut scene = scene(&["a"]);
    report(&mut scene, "a", "shop/one", PathState::Timeout);
    scene.frontend("shop/web", &spec(&json!({"mode": "Off"})));
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "PathReady"), "");
}

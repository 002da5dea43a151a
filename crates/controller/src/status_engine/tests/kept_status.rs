//! Reports and statuses that are kept while an agent is disconnected, or until a new leader has its state.

use serde_json::json;

use super::scene::{Scene, frontend_spec, health, name};
use crate::links::LinkUpdate;
use maglev_model::{
    change::Change,
    event::{FrontendState, ProgramResult},
    view::{StateSince, View},
};

/// A Frontend and a probed Backend, programmed and up on all nodes.
fn probed(nodes: &[&str]) -> Scene {
    let mut scene = Scene::with_nodes(nodes);
    scene.check("shop/tcp");
    scene.probed("shop/one", "10.0.0.1", "tcp");
    scene.frontend("shop/web", &frontend_spec(&["one"]));
    scene.reconcile();
    for node in nodes {
        scene.report_program(node, "shop/web", ProgramResult::Programmed, "");
        scene.report_state(node, "shop/web", FrontendState::Up);
        scene.report_health(node, "shop/one", "10.0.0.1", "up");
    }
    scene.reconcile();
    scene
}

/// The state of an agent that has just started: it has listed the objects and warms up.
fn warming_up(scene: &Scene) -> View {
    let config = scene.engine.config.clone().unwrap();
    let mut view = View { frontends: config.frontends, backends: config.backends, ..View::default() };
    view.node = Some(config.node);
    view.reports.insert(name("shop/web"), scene.program_report("shop/web", ProgramResult::Pending, "WarmingUp"));
    view.health.backends.insert(name("shop/one"), health("10.0.0.1", "unknown", scene.now.wall));
    view
}

fn user_written(written: Vec<String>) -> Vec<String> {
    written.into_iter().filter(|write| !write.contains("MaglevNode")).collect()
}

#[test]
fn rolling_restart_of_all_agents_writes_no_frontend_and_no_backend() {
    let nodes = ["a", "b", "c"];
    let mut scene = probed(&nodes);
    for node in nodes {
        // The pod is deleted; 20 s later a new one starts, without state at first.
        scene.engine.apply_link(LinkUpdate::Link(node.into(), Err("the connection was closed".into())));
        let pod = maglev_model::Name::namespaced("lb", &format!("maglevd-{node}"));
        let bound = scene.pods.remove(&pod).unwrap();
        scene.publish_pods();
        scene.engine.apply_link(LinkUpdate::Removed(node.into()));
        assert_eq!(user_written(scene.reconcile()), [""; 0]);
        scene.advance(20);
        scene.pods.insert(pod, bound);
        scene.publish_pods();
        scene.engine.apply_link(LinkUpdate::Link(node.into(), Ok(())));
        scene.reset(node, &View::default());
        assert_eq!(user_written(scene.reconcile()), [""; 0]);
        let warms_up = warming_up(&scene);
        scene.reset(node, &warms_up);
        assert_eq!(user_written(scene.reconcile()), [""; 0]);
        scene.report_health(node, "shop/one", "10.0.0.1", "unknown");
        scene.report_program(node, "shop/web", ProgramResult::Pending, "WarmingUp");
        assert_eq!(user_written(scene.reconcile()), [""; 0]);
        scene.report_health(node, "shop/one", "10.0.0.1", "up");
        scene.report_state(node, "shop/web", FrontendState::Up);
        scene.report_program(node, "shop/web", ProgramResult::Programmed, "");
        assert_eq!(user_written(scene.reconcile()), [""; 0]);
    }
}

#[test]
fn new_results_of_a_restarted_agent_are_written() {
    let mut scene = probed(&["a"]);
    let warms_up = warming_up(&scene);
    scene.reset("a", &warms_up);
    scene.report_health("a", "shop/one", "10.0.0.1", "down");
    scene.report_state("a", "shop/web", FrontendState::Down);
    scene.report_program("a", "shop/web", ProgramResult::Failed, "NoSourceAddress");
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Programmed"), "False NoSourceAddress");
    assert_eq!(scene.condition("shop/web", "Available"), "False NoBackendUp");
    assert_eq!(scene.backend_summary("shop/one"), "Down 0 up 1 down 0 unknown of 1");
}

#[test]
fn new_generation_is_pending_while_its_agent_is_disconnected() {
    let mut scene = probed(&["a"]);
    scene.engine.apply_link(LinkUpdate::Link("a".into(), Err("connection refused".into())));
    scene.object("Frontend", "shop/web", &{
        let mut spec = frontend_spec(&["one"]);
        spec["description"] = json!("another");
        spec
    });
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Programmed"), "Unknown Pending");
    assert_eq!(scene.frontend_status("shop/web").observed_generation, Some(2));
}

#[test]
fn new_leader_keeps_the_stored_status_until_agents_report() {
    let mut scene = probed(&["a", "b"]);
    let before = scene.statuses();
    scene.next_leader();
    assert_eq!(user_written(scene.reconcile()), [""; 0]);
    // One of two agents connects, with unchanged reports.
    let mut view = warming_up(&scene);
    view.reports.insert(name("shop/web"), scene.program_report("shop/web", ProgramResult::Programmed, ""));
    let up = StateSince { state: FrontendState::Up, since: scene.now.wall, code: None };
    view.states.insert(name("shop/web"), up);
    view.health.backends.insert(name("shop/one"), health("10.0.0.1", "up", scene.now.wall));
    scene.engine.apply_link(LinkUpdate::Link("a".into(), Ok(())));
    scene.reset("a", &view);
    assert_eq!(user_written(scene.reconcile()), ["numbers Backend shop/one"]);
    assert_eq!(scene.statuses()["Frontend shop/web"], before["Frontend shop/web"]);
    // A failure on one node counts, whatever the other node reports later.
    scene.report_program("a", "shop/web", ProgramResult::Failed, "NoSourceAddress");
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Programmed"), "False NoSourceAddress");
}

#[test]
fn node_that_joins_is_pending() {
    let mut scene = probed(&["a"]);
    scene.node("b", &[]);
    scene.publish_nodes();
    let pod = maglev_kube::cluster_watch::BoundPod { node: "b".into() };
    scene.pods.insert(maglev_model::Name::namespaced("lb", "maglevd-b"), pod);
    scene.publish_pods();
    let written = scene.reconcile();
    assert!(written.contains(&"condition Frontend shop/web".to_owned()), "{written:?}");
    assert_eq!(scene.condition("shop/web", "Programmed"), "Unknown NodesPending");
    scene.connect_agent("b");
    scene.report_program("b", "shop/web", ProgramResult::Programmed, "");
    scene.report_state("b", "shop/web", FrontendState::Up);
    scene.reconcile();
    assert_eq!(scene.frontend_status("shop/web").nodes_summary.as_deref(), Some("2/2"));
    assert_eq!(scene.condition("shop/web", "Programmed"), "True Programmed");
}

#[test]
fn forgotten_reports_are_pending_again() {
    let mut scene = probed(&["a"]);
    scene.apply_change("a", Change::Forget(name("shop/web")));
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Programmed"), "Unknown NodesPending");
}

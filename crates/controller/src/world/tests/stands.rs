//! What stands while an agent is away, or while a new leader has not heard it.

use serde_json::json;

use super::scene::{Scene, frontend_spec, health, name};
use crate::links::LinkNews;
use maglev_model::{
    change::Change,
    event::{FrontendState, ProgramResult},
    view::{StateSince, View},
};

/// A Frontend and a probed Backend that all nodes have programmed and up.
fn probed(nodes: &[&str]) -> Scene {
    let mut scene = Scene::with_nodes(nodes);
    scene.check("shop/tcp");
    scene.probed("shop/one", "10.0.0.1", "tcp");
    scene.frontend("shop/web", &frontend_spec(&["one"]));
    scene.settle();
    for node in nodes {
        scene.reports(node, "shop/web", ProgramResult::Programmed, "");
        scene.state(node, "shop/web", FrontendState::Up);
        scene.health(node, "shop/one", "10.0.0.1", "up");
    }
    scene.settle();
    scene
}

/// What an agent says that has just started: it has listed, and warms up.
fn warming_up(scene: &Scene) -> View {
    let config = scene.world.config.clone().unwrap();
    let mut view = View { frontends: config.frontends, backends: config.backends, ..View::default() };
    view.node = Some(config.node);
    view.reports.insert(name("shop/web"), scene.report("shop/web", ProgramResult::Pending, "WarmingUp"));
    view.health.backends.insert(name("shop/one"), health("10.0.0.1", "unknown", scene.now.wall));
    view
}

fn of_people(written: Vec<String>) -> Vec<String> {
    written.into_iter().filter(|what| !what.contains("MaglevNode")).collect()
}

#[test]
fn a_rolling_restart_of_all_agents_writes_no_frontend_and_no_backend() {
    let nodes = ["a", "b", "c"];
    let mut scene = probed(&nodes);
    for node in nodes {
        // The pod goes; for a while there is none, then another one, which knows nothing at first.
        scene.world.take_link(LinkNews::Link(node.into(), Err("the connection was closed".into())));
        let pod = maglev_model::Name::namespaced("lb", &format!("maglevd-{node}"));
        let bound = scene.pods.remove(&pod).unwrap();
        scene.tell_pods();
        scene.world.take_link(LinkNews::Gone(node.into()));
        assert_eq!(of_people(scene.settle()), [""; 0]);
        scene.pass(20);
        scene.pods.insert(pod, bound);
        scene.tell_pods();
        scene.world.take_link(LinkNews::Link(node.into(), Ok(())));
        scene.reset(node, &View::default());
        assert_eq!(of_people(scene.settle()), [""; 0]);
        let warms_up = warming_up(&scene);
        scene.reset(node, &warms_up);
        assert_eq!(of_people(scene.settle()), [""; 0]);
        scene.health(node, "shop/one", "10.0.0.1", "unknown");
        scene.reports(node, "shop/web", ProgramResult::Pending, "WarmingUp");
        assert_eq!(of_people(scene.settle()), [""; 0]);
        scene.health(node, "shop/one", "10.0.0.1", "up");
        scene.state(node, "shop/web", FrontendState::Up);
        scene.reports(node, "shop/web", ProgramResult::Programmed, "");
        assert_eq!(of_people(scene.settle()), [""; 0]);
    }
}

#[test]
fn what_a_restarted_agent_finds_out_is_told() {
    let mut scene = probed(&["a"]);
    let warms_up = warming_up(&scene);
    scene.reset("a", &warms_up);
    scene.health("a", "shop/one", "10.0.0.1", "down");
    scene.state("a", "shop/web", FrontendState::Down);
    scene.reports("a", "shop/web", ProgramResult::Failed, "NoSourceAddress");
    scene.settle();
    assert_eq!(scene.said("shop/web", "Programmed"), "False NoSourceAddress");
    assert_eq!(scene.said("shop/web", "Available"), "False NoBackendUp");
    assert_eq!(scene.backend_said("shop/one"), "Down 0 up 1 down 0 unknown of 1");
}

#[test]
fn a_new_generation_is_pending_even_while_its_agent_is_away() {
    let mut scene = probed(&["a"]);
    scene.world.take_link(LinkNews::Link("a".into(), Err("away".into())));
    scene.object("Frontend", "shop/web", &{
        let mut spec = frontend_spec(&["one"]);
        spec["description"] = json!("another");
        spec
    });
    scene.settle();
    assert_eq!(scene.said("shop/web", "Programmed"), "Unknown Pending");
    assert_eq!(scene.frontend_status("shop/web").observed_generation, Some(2));
}

#[test]
fn a_new_leader_leaves_what_it_cannot_know_as_the_status_says() {
    let mut scene = probed(&["a", "b"]);
    let before = scene.statuses();
    scene.next_leader();
    assert_eq!(of_people(scene.settle()), [""; 0]);
    // One of two agents is heard, and says the same as ever.
    let mut view = warming_up(&scene);
    view.reports.insert(name("shop/web"), scene.report("shop/web", ProgramResult::Programmed, ""));
    let up = StateSince { state: FrontendState::Up, since: scene.now.wall, code: None };
    view.states.insert(name("shop/web"), up);
    view.health.backends.insert(name("shop/one"), health("10.0.0.1", "up", scene.now.wall));
    scene.world.take_link(LinkNews::Link("a".into(), Ok(())));
    scene.reset("a", &view);
    assert_eq!(of_people(scene.settle()), ["numbers Backend shop/one"]);
    assert_eq!(scene.statuses()["Frontend shop/web"], before["Frontend shop/web"]);
    // What it hears of one node counts, whatever the other may say.
    scene.reports("a", "shop/web", ProgramResult::Failed, "NoSourceAddress");
    scene.settle();
    assert_eq!(scene.said("shop/web", "Programmed"), "False NoSourceAddress");
}

#[test]
fn a_node_that_joins_has_yet_to_program_it() {
    let mut scene = probed(&["a"]);
    scene.node("b", &[]);
    scene.tell_nodes();
    let pod = maglev_kube::cluster_watch::BoundPod { node: "b".into() };
    scene.pods.insert(maglev_model::Name::namespaced("lb", "maglevd-b"), pod);
    scene.tell_pods();
    let written = scene.settle();
    assert!(written.contains(&"condition Frontend shop/web".to_owned()), "{written:?}");
    assert_eq!(scene.said("shop/web", "Programmed"), "Unknown NodesPending");
    scene.hear("b");
    scene.reports("b", "shop/web", ProgramResult::Programmed, "");
    scene.state("b", "shop/web", FrontendState::Up);
    scene.settle();
    assert_eq!(scene.frontend_status("shop/web").nodes_summary.as_deref(), Some("2/2"));
    assert_eq!(scene.said("shop/web", "Programmed"), "True Programmed");
}

#[test]
fn a_frontend_that_was_forgotten_and_came_again_starts_anew() {
    let mut scene = probed(&["a"]);
    scene.tell("a", Change::Forget(name("shop/web")));
    scene.settle();
    assert_eq!(scene.said("shop/web", "Programmed"), "Unknown NodesPending");
}

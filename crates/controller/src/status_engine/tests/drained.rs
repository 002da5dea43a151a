//! The condition Drained, from the drains that the agents report.

use jiff::Timestamp;
use serde_json::json;

use super::scene::{Scene, name};
use crate::{
    event_notes::{Regarding, event_notes},
    links::LinkUpdate,
};
use maglev_kube::StatusKind;
use maglev_model::{
    change::Change,
    config::Kind,
    drain::{Drain, DrainLosses, DrainState},
    view::View,
};

const ONE: &str = "shop/one";

fn scene(nodes: &[&str]) -> Scene {
    let mut scene = Scene::programmed(nodes);
    assert_eq!(condition(&scene), "", "the Backend is enabled");
    pause(&mut scene);
    scene
}

fn pause(scene: &mut Scene) {
    scene.object("Backend", ONE, &json!({"address": "10.0.0.1", "adminState": "Paused"}));
    scene.reconcile();
}

fn condition(scene: &Scene) -> String {
    scene.condition_of("Backend", ONE, "Drained")
}

fn message(scene: &Scene) -> String {
    scene.message_of("Backend", ONE, "Drained")
}

fn drain(scene: &Scene, state: DrainState, flows: u32) -> Drain {
    let (since, bits_per_second) = (Timestamp::UNIX_EPOCH, Some(3_100_000));
    let generation = scene.engine.config.as_ref().unwrap().backends[&name(ONE)].revision.generation;
    let flows = Some(flows);
    Drain {
        generation,
        state,
        since,
        flows,
        bits_per_second,
        idle: None,
        is_shared: false,
        is_overdue: false,
        losses: DrainLosses::default(),
    }
}

fn report(scene: &mut Scene, node: &str, state: DrainState) -> Vec<String> {
    let drain = drain(scene, state, 214);
    scene.apply_change(node, Change::Drain(name(ONE), Some(drain)));
    scene.reconcile()
}

#[test]
fn condition_follows_the_drains_of_all_nodes() {
    let mut scene = scene(&["a", "b"]);
    assert_eq!(condition(&scene), "Unknown Pending");
    report(&mut scene, "a", DrainState::FlowsLeft);
    assert_eq!(condition(&scene), "False FlowsLeft");
    assert_eq!(message(&scene), "a: 214 tracked flows at most, 3.1 Mbit/s; b: has not reported the drain yet");
    report(&mut scene, "a", DrainState::Quiet);
    assert_eq!(condition(&scene), "Unknown Pending");
    report(&mut scene, "b", DrainState::NoCounters);
    assert_eq!(condition(&scene), "Unknown NoCounters");
    report(&mut scene, "b", DrainState::WeightsUnsupported);
    assert_eq!(condition(&scene), "Unknown WeightsUnsupported");
    let ready = scene.condition_of("Backend", ONE, "Ready");
    report(&mut scene, "b", DrainState::NoFlows);
    assert_eq!(condition(&scene), "True Quiet");
    assert_eq!(message(&scene), "a: quiet for the flow timeout; b: no tracked flows");
    assert_eq!(scene.condition_of("Backend", ONE, "Ready"), ready, "not part of Ready");
    scene.object("Backend", ONE, &json!({"address": "10.0.0.1"}));
    scene.reconcile();
    assert_eq!(condition(&scene), "");
}

#[test]
fn never_true_while_a_node_is_silent() {
    let mut scene = scene(&["a", "b"]);
    report(&mut scene, "a", DrainState::NoFlows);
    report(&mut scene, "b", DrainState::NoFlows);
    assert_eq!(condition(&scene), "True NoFlows");
    scene.engine.apply_link(LinkUpdate::Link("b".into(), Err("connection refused".into())));
    scene.reconcile();
    assert_eq!(condition(&scene), "Unknown NodeSilent");
    assert_eq!(message(&scene), "b: does not report; a: no tracked flows");
    scene.engine.apply_link(LinkUpdate::Link("b".into(), Ok(())));
    scene.reconcile();
    assert_eq!(condition(&scene), "True NoFlows");
    scene.reset("b", &View::default());
    scene.reconcile();
    assert_eq!(condition(&scene), "Unknown Pending", "a restarted agent has not reported the drain");
    scene.engine.apply_link(LinkUpdate::Removed("b".into()));
    scene.reconcile();
    assert_eq!(condition(&scene), "Unknown NodeSilent");
}

#[test]
fn node_that_is_not_ready_still_counts() {
    let mut scene = scene(&["a", "b"]);
    report(&mut scene, "a", DrainState::NoFlows);
    scene.node_not_ready("b");
    scene.advance(600);
    scene.engine.apply_link(LinkUpdate::Removed("b".into()));
    scene.reconcile();
    assert_eq!(condition(&scene), "Unknown NodeSilent", "its VPP goes on forwarding");
    scene.delete_node("b");
    scene.reconcile();
    assert_eq!(condition(&scene), "True NoFlows");
}

#[test]
fn report_of_an_earlier_pause_does_not_count() {
    let mut scene = scene(&["a"]);
    let earlier = drain(&scene, DrainState::NoFlows, 0);
    scene.object("Backend", ONE, &json!({"address": "10.0.0.1"}));
    pause(&mut scene);
    scene.apply_change("a", Change::Drain(name(ONE), Some(earlier)));
    scene.reconcile();
    assert_eq!(condition(&scene), "Unknown Pending");
}

#[test]
fn new_leader_is_true_only_after_every_report() {
    let mut scene = scene(&["a"]);
    report(&mut scene, "a", DrainState::Flushed);
    assert_eq!(condition(&scene), "True Flushed");
    scene.next_leader();
    scene.reconcile();
    assert_eq!(condition(&scene), "Unknown NodeSilent");
}

#[test]
fn changed_numbers_have_the_priority_of_numbers() {
    let mut scene = scene(&["a"]);
    assert_eq!(report(&mut scene, "a", DrainState::FlowsLeft), ["condition Backend shop/one"]);
    let fewer = drain(&scene, DrainState::FlowsLeft, 12);
    scene.apply_change("a", Change::Drain(name(ONE), Some(fewer)));
    assert_eq!(scene.reconcile(), ["numbers Backend shop/one"]);
}

#[test]
fn end_of_a_drain_is_an_event_and_no_warning() {
    let mut scene = scene(&["a"]);
    let pending = scene.status("Backend", ONE);
    report(&mut scene, "a", DrainState::FlowsLeft);
    let left = scene.status("Backend", ONE);
    report(&mut scene, "a", DrainState::Flushed);
    let (uid, name) = ("uid".into(), name(ONE));
    let regarding = Regarding { kind: StatusKind::Kind(Kind::Backend), name: &name, uid: &uid };
    assert!(event_notes(regarding, &pending, &left, None).is_empty());
    let notes = event_notes(regarding, &left, &scene.status("Backend", ONE), None);
    let texts: Vec<_> = notes.iter().map(|note| (note.warning, &*note.reason, &*note.note)).collect();
    assert_eq!(texts, [(false, "Drained", "a: flows flushed")]);
}

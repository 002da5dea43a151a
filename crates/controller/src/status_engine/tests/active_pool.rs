//! `status.activePool` and the condition Degraded, from the active pools that the agents report.

use serde_json::{Value, json};

use super::scene::{Scene, name};
use crate::links::LinkUpdate;
use maglev_model::{
    event::{FrontendState, ProgramResult},
    view::View,
    weights::ActivePool,
};

fn pools(first: &str, second: &str) -> Value {
    let pool = |name: &str, backend: &str| json!({"name": name, "backends": [{"name": backend}]});
    let pools = json!([pool(first, "one"), pool(second, "two")]);
    json!({"address": "203.0.113.1", "protocol": "TCP", "port": 80, "pools": pools})
}

/// A Frontend with the pools `primary` (probed Backend) and `standby` (Backend without a HealthCheck); every node
/// serves from `primary`.
fn with_standby(nodes: &[&str]) -> Scene {
    let mut scene = Scene::with_nodes(nodes);
    scene.check("shop/tcp");
    scene.probed("shop/one", "10.0.0.1", "tcp");
    scene.backend("shop/two", "10.0.0.2");
    scene.frontend("shop/web", &pools("primary", "standby"));
    scene.reconcile();
    for node in nodes {
        scene.report_health(node, "shop/one", "10.0.0.1", "up");
        scene.report_state(node, "shop/web", FrontendState::Up);
        scene.report_active_pool(node, "shop/web", ActivePool::Index(0));
        scene.report_program(node, "shop/web", ProgramResult::Programmed, "");
    }
    scene.reconcile();
    assert_eq!(scene.frontend_status("shop/web").active_pool.as_deref(), Some("primary"));
    scene
}

#[test]
fn deleted_health_check_does_not_activate_the_standby_pool() {
    let mut scene = with_standby(&["a"]);
    scene.delete("HealthCheck", "shop/tcp");
    scene.reconcile();
    // The agent keeps the weight of a backend without a HealthCheck, so pool 0 stays active.
    scene.report_program("a", "shop/web", ProgramResult::Programmed, "");
    scene.reconcile();
    assert_eq!(scene.frontend_status("shop/web").active_pool.as_deref(), Some("primary"));
    assert_eq!(scene.condition("shop/web", "Degraded"), "");
}

#[test]
fn standby_pool_is_active_only_if_an_agent_reports_it() {
    let mut scene = with_standby(&["a", "b"]);
    scene.report_health("a", "shop/one", "10.0.0.1", "down");
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Degraded"), "");
    scene.report_active_pool("a", "shop/web", ActivePool::Index(1));
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Degraded"), "True StandbyPool");
    let message = scene.message("shop/web", "Degraded");
    assert_eq!(message, r#"pool "primary" has no backend that takes traffic on 1 of 2 nodes: standby takes over"#);
    for node in ["a", "b"] {
        scene.report_active_pool(node, "shop/web", ActivePool::None);
    }
    scene.reconcile();
    assert_eq!(scene.frontend_status("shop/web").active_pool, None);
    assert_eq!(scene.condition("shop/web", "Degraded"), "");
}

#[test]
fn new_leader_keeps_the_active_pool_until_agents_report_theirs() {
    let mut scene = with_standby(&["a"]);
    scene.report_active_pool("a", "shop/web", ActivePool::Index(1));
    scene.reconcile();
    scene.next_leader();
    scene.reconcile();
    assert_eq!(scene.frontend_status("shop/web").active_pool.as_deref(), Some("standby"));
    assert_eq!(scene.condition("shop/web", "Degraded"), "True StandbyPool");
    // An agent of an older release does not report its active pool.
    let mut view = View::default();
    view.reports.insert(name("shop/web"), scene.program_report("shop/web", ProgramResult::Programmed, ""));
    scene.engine.apply_link(LinkUpdate::Link("a".into(), Ok(())));
    scene.reset("a", &view);
    scene.reconcile();
    assert_eq!(scene.frontend_status("shop/web").active_pool.as_deref(), Some("standby"));
    assert_eq!(scene.condition("shop/web", "Degraded"), "True StandbyPool");
    view.active_pools.insert(name("shop/web"), ActivePool::Index(0));
    scene.reset("a", &view);
    scene.reconcile();
    assert_eq!(scene.frontend_status("shop/web").active_pool.as_deref(), Some("primary"));
    assert_eq!(scene.condition("shop/web", "Degraded"), "");
}

#[test]
fn active_pool_of_an_old_generation_is_ignored() {
    let mut scene = with_standby(&["a"]);
    scene.frontend("shop/web", &pools("new", "primary"));
    scene.reconcile();
    assert_eq!(scene.frontend_status("shop/web").active_pool.as_deref(), Some("primary"), "the stored name is kept");
    assert_eq!(scene.condition("shop/web", "Degraded"), "");
    scene.report_program("a", "shop/web", ProgramResult::Programmed, "");
    scene.reconcile();
    assert_eq!(scene.frontend_status("shop/web").active_pool.as_deref(), Some("new"));
}

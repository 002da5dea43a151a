//! Statuses that follow from objects and reports. A store takes the place of the API server.

mod active_pool;
mod drained;
mod kept_status;
mod nodes;
mod path_ready;
mod policies;
mod properties;
mod scene;
mod services;
mod table_differences;
mod weightless_vpp;

use serde_json::json;

use self::scene::{Scene, frontend_spec};
use maglev_model::{
    event::{FrontendState, ProgramResult},
    weights::ActivePool,
};

#[test]
fn new_frontend_is_pending_until_every_node_has_programmed_it() {
    let mut scene = Scene::with_nodes(&["a", "b"]);
    scene.backend("shop/one", "10.0.0.1");
    scene.frontend("shop/web", &frontend_spec(&["one"]));
    let written = scene.reconcile();
    assert!(written.contains(&"answer Frontend shop/web".to_owned()), "{written:?}");
    assert_eq!(scene.condition("shop/web", "Accepted"), "True Accepted");
    assert_eq!(scene.condition("shop/web", "ResolvedRefs"), "True ResolvedRefs");
    assert_eq!(scene.condition("shop/web", "Programmed"), "Unknown Pending");
    assert_eq!(scene.condition("shop/web", "Ready"), "Unknown Pending");
    let status = scene.frontend_status("shop/web");
    assert_eq!((status.observed_generation, status.nodes_summary.as_deref()), (Some(1), Some("0/2")));

    scene.report_program("a", "shop/web", ProgramResult::Programmed, "");
    scene.report_state("a", "shop/web", FrontendState::Up);
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Programmed"), "Unknown Pending");
    scene.report_program("b", "shop/web", ProgramResult::Programmed, "");
    scene.report_state("b", "shop/web", FrontendState::Up);
    for node in ["a", "b"] {
        scene.report_active_pool(node, "shop/web", ActivePool::Index(0));
    }
    let written = scene.reconcile();
    let expected = ["answer Frontend shop/web", "numbers MaglevNode b"];
    assert_eq!(written, expected, "the first outcome is not rate-limited");
    for condition in ["Programmed", "Available", "Ready"] {
        assert_eq!(scene.condition("shop/web", condition), format!("True {condition}"));
    }
    let status = scene.frontend_status("shop/web");
    assert_eq!(status.nodes_summary.as_deref(), Some("2/2"));
    assert_eq!((status.backends_summary.as_deref(), status.active_pool.as_deref()), (Some("1/1"), Some("primary")));
    assert_eq!(scene.reconcile(), [""; 0], "a status that is up to date is not written again");
}

#[test]
fn first_success_of_a_generation_is_not_rate_limited_whatever_was_reported_before() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.backend("shop/one", "10.0.0.1");
    scene.frontend("shop/web", &frontend_spec(&["one"]));
    let mut report = |result| {
        scene.report_program("a", "shop/web", result, "NoBackends");
        scene.reconcile().into_iter().find(|write| write.ends_with("Frontend shop/web"))
    };
    let answer = Some("answer Frontend shop/web".to_owned());
    let rationed = Some("condition Frontend shop/web".to_owned());
    assert_eq!(report(ProgramResult::Failed), answer, "the first answer");
    assert_eq!(report(ProgramResult::Programmed), answer, "the first success");
    for result in [ProgramResult::Failed, ProgramResult::Programmed] {
        assert_eq!(report(result), rationed, "{result:?} later");
    }
}

#[test]
fn reports_about_an_old_generation_are_ignored() {
    let mut scene = Scene::programmed(&["a"]);
    scene.frontend("shop/web", &frontend_spec(&["one", "two"]));
    let written = scene.reconcile();
    assert_eq!(written, ["answer Frontend shop/web"]);
    let status = scene.frontend_status("shop/web");
    assert_eq!(status.observed_generation, Some(2));
    assert!(
        status.conditions.iter().all(|condition| condition.observed_generation == Some(2)),
        "{:?}",
        status.conditions
    );
    assert_eq!(scene.condition("shop/web", "Programmed"), "Unknown Pending");
    assert_eq!(scene.condition("shop/web", "ResolvedRefs"), "False BackendNotFound");
    assert_eq!(scene.condition("shop/web", "Degraded"), "True BackendNotFound");
    let message = scene.message("shop/web", "ResolvedRefs");
    assert!(message.contains("shop/web") && message.contains("two") && message.contains("spec.pools"), "{message}");
    assert_eq!(scene.condition("shop/web", "Ready"), "False BackendNotFound");
    assert_eq!(scene.frontend_status("shop/web").backends_summary.as_deref(), Some("1/2"));
}

#[test]
fn changed_fingerprint_is_pending_unless_its_version_differs() {
    let mut scene = Scene::programmed(&["a"]);
    // The Backend's address changes: the Frontend's generation stays, its resolved configuration does not.
    scene.backend("shop/one", "10.0.0.9");
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Programmed"), "Unknown NodesPending");
    scene.report_fingerprint_version("a", "shop/web", maglev_model::fingerprint::Fingerprint::VERSION + 1);
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Programmed"), "True Programmed");
}

#[test]
fn failed_node_is_named_with_its_reason() {
    let mut scene = Scene::programmed(&["a", "b", "c"]);
    scene.report_program("b", "shop/web", ProgramResult::Held, "MixedFamilies");
    scene.report_program("c", "shop/web", ProgramResult::Failed, "lb_add_del_vip: -81 (Value exists)");
    let written = scene.reconcile();
    assert_eq!(written, ["condition Frontend shop/web", "numbers MaglevNode b", "numbers MaglevNode c"]);
    assert_eq!(scene.condition("shop/web", "Programmed"), "False VppRefused");
    let message = scene.message("shop/web", "Programmed");
    assert!(message.contains("2 of 3 nodes") && message.contains("c: Failed (lb_add_del_vip"), "{message}");
    assert_eq!(scene.frontend_status("shop/web").nodes_summary.as_deref(), Some("1/3"));
    scene.report_program("c", "shop/web", ProgramResult::Failed, "NoSourceAddress");
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Programmed"), "False NoSourceAddress");
    assert_eq!(scene.condition("shop/web", "Ready"), "False NoSourceAddress");
}

#[test]
fn frontend_that_is_down_is_unavailable_but_ready() {
    let mut scene = Scene::programmed(&["a", "b"]);
    scene.report_state("b", "shop/web", FrontendState::Down);
    assert_eq!(scene.reconcile(), ["condition Frontend shop/web"]);
    assert_eq!(scene.condition("shop/web", "Available"), "False NoBackendUp");
    assert!(scene.message("shop/web", "Available").contains("1 of 2 nodes: b"));
    assert_eq!(scene.condition("shop/web", "Ready"), "True Ready");
}

#[test]
fn frontend_without_nodes_is_not_programmed() {
    let mut scene = Scene::with_nodes(&[]);
    scene.frontend("shop/web", &frontend_spec(&[]));
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Programmed"), "False NoNodes");
    assert_eq!(scene.condition("shop/web", "Available"), "Unknown NoReports");
}

#[test]
fn conflict_message_does_not_name_another_namespace() {
    let mut scene = Scene::programmed(&["a"]);
    scene.frontend("shop/twin", &frontend_spec(&["one"]));
    scene.frontend("other/twin", &frontend_spec(&["one"]));
    scene.reconcile();
    assert_eq!(scene.condition("shop/twin", "Conflicted"), "True Conflicted");
    assert!(scene.message("shop/twin", "Conflicted").contains("web"));
    assert_eq!(scene.condition("other/twin", "Conflicted"), "True AddressOwnedByOtherNamespace");
    assert!(
        !scene.message("other/twin", "Conflicted").contains("shop"),
        "{}",
        scene.message("other/twin", "Conflicted")
    );
    for twin in ["shop/twin", "other/twin"] {
        assert!(scene.condition(twin, "Ready").starts_with("False"));
        assert!(scene.condition(twin, "Available").starts_with("False"));
    }
    assert_eq!(scene.condition("shop/web", "Conflicted"), "");
}

#[test]
fn backend_is_mixed_if_nodes_disagree_and_unknown_does_not_count() {
    let mut scene = Scene::with_nodes(&["a", "b", "c"]);
    scene.check("shop/tcp");
    scene.probed("shop/one", "10.0.0.1", "tcp");
    scene.reconcile();
    assert_eq!(scene.backend_summary("shop/one"), "Unknown 0 up 0 down 3 unknown of 3");
    scene.report_health("a", "shop/one", "10.0.0.1", "up");
    scene.reconcile();
    assert_eq!(scene.backend_summary("shop/one"), "Up 1 up 0 down 2 unknown of 3");
    scene.report_health("b", "shop/one", "10.0.0.1", "down");
    assert_eq!(scene.reconcile(), ["state Backend shop/one"]);
    assert_eq!(scene.backend_summary("shop/one"), "Mixed 1 up 1 down 1 unknown of 3");
    assert_eq!(scene.backend_note("shop/one").as_deref(), Some("down on 1 of 3 nodes, L4TOUT"));
    scene.report_health("c", "shop/one", "10.0.0.1", "up");
    assert_eq!(scene.reconcile(), ["numbers Backend shop/one"]);
    // The state belongs to the address.
    scene.probed("shop/one", "10.0.0.2", "tcp");
    scene.reconcile();
    assert_eq!(scene.backend_summary("shop/one"), "Unknown 0 up 0 down 3 unknown of 3");
}

#[test]
fn frontend_with_an_unusable_health_check_is_degraded() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.probed("shop/one", "10.0.0.1", "tcp");
    scene.frontend("shop/web", &frontend_spec(&["one"]));
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Degraded"), "");
    let pattern = json!({"type": "HTTP", "port": 80, "http": {"expectedBody": "("}});
    scene.object("HealthCheck", "shop/tcp", &pattern);
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Degraded"), "True HealthCheckUnreadable");
    assert!(
        scene.message("shop/web", "Degraded").contains("HealthCheck \"tcp\""),
        "{}",
        scene.message("shop/web", "Degraded")
    );
    scene.check("shop/tcp");
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Degraded"), "");
}

#[test]
fn backend_with_missing_health_check_is_unknown_and_paused_one_is_paused() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.probed("shop/one", "10.0.0.1", "nowhere");
    scene.object("Backend", "shop/two", &json!({"address": "10.0.0.2", "adminState": "Paused"}));
    scene.reconcile();
    assert_eq!(scene.condition_of("Backend", "shop/one", "ResolvedRefs"), "False HealthCheckNotFound");
    assert_eq!(scene.condition_of("Backend", "shop/one", "Ready"), "False HealthCheckNotFound");
    assert_eq!(scene.backend_summary("shop/one"), "Unknown 0 up 0 down 1 unknown of 1");
    assert_eq!(scene.condition_of("Backend", "shop/two", "Ready"), "True Ready");
    assert_eq!(scene.backend_summary("shop/two"), "Paused 0 up 0 down 0 unknown of 1");
}

#[test]
fn unreadable_object_is_not_accepted() {
    let mut scene = Scene::programmed(&["a"]);
    scene.object("Frontend", "shop/web", &json!({"address": "203.0.113.1", "protocol": "TCP", "port": 80, "pools": 7}));
    scene.object("Backend", "shop/odd", &json!({"address": 7}));
    scene.object("HealthCheck", "shop/odd", &json!({"type": "SMOKE"}));
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Accepted"), "False Unreadable");
    assert!(scene.message("shop/web", "Accepted").contains("spec.pools"));
    assert_eq!(scene.condition("shop/web", "ResolvedRefs"), "Unknown Unreadable");
    for kind in ["Backend", "HealthCheck"] {
        assert_eq!(scene.condition_of(kind, "shop/odd", "Accepted"), "False Unreadable");
        assert_eq!(scene.condition_of(kind, "shop/odd", "Ready"), "False Unreadable");
    }
}

#[test]
fn address_of_a_node_or_of_a_frontend_is_not_accepted() {
    let mut scene = Scene::programmed(&["a", "b"]);
    scene.backend("shop/loop", "203.0.113.1");
    scene.node_address("b", "203.0.113.1");
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Accepted"), "False AddressUsedByNode");
    assert_eq!(scene.condition("shop/web", "Ready"), "False AddressUsedByNode");
    assert!(scene.message("shop/web", "Accepted").contains("Node \"b\""));
    assert_eq!(scene.condition_of("Backend", "shop/loop", "Accepted"), "True Accepted");
    scene.node_address("b", "192.0.2.2");
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Accepted"), "True Accepted");
    assert_eq!(scene.condition_of("Backend", "shop/loop", "Accepted"), "False AddressUsedByFrontend");
    assert_eq!(scene.condition_of("Backend", "shop/loop", "Ready"), "False AddressUsedByFrontend");
}

#[test]
fn active_standby_pool_is_degraded() {
    let mut scene = Scene::with_nodes(&["a", "b"]);
    scene.check("shop/tcp");
    scene.probed("shop/one", "10.0.0.1", "tcp");
    scene.probed("shop/two", "10.0.0.2", "tcp");
    let pool = |name: &str, backend: &str| json!({"name": name, "backends": [{"name": backend}]});
    let pools = json!([pool("primary", "one"), pool("spare", "two")]);
    scene.frontend("shop/web", &json!({"address": "203.0.113.1", "protocol": "TCP", "port": 80, "pools": pools}));
    for node in ["a", "b"] {
        scene.report_health(node, "shop/one", "10.0.0.1", "up");
        scene.report_health(node, "shop/two", "10.0.0.2", "up");
        scene.report_active_pool(node, "shop/web", ActivePool::Index(0));
        scene.report_program(node, "shop/web", ProgramResult::Programmed, "");
    }
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Degraded"), "");
    scene.report_health("b", "shop/one", "10.0.0.1", "down");
    scene.report_active_pool("b", "shop/web", ActivePool::Index(1));
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Degraded"), "True StandbyPool");
    assert!(
        scene.message("shop/web", "Degraded").contains("1 of 2 nodes: spare"),
        "{}",
        scene.message("shop/web", "Degraded")
    );
    scene.report_health("a", "shop/one", "10.0.0.1", "down");
    scene.report_active_pool("a", "shop/web", ActivePool::Index(1));
    scene.reconcile();
    let status = scene.frontend_status("shop/web");
    assert_eq!((status.active_pool.as_deref(), status.backends_summary.as_deref()), (Some("spare"), Some("1/2")));
}

//! What people and agents do, and which status follows: on values, with a store that stands for the API server.

mod nodes;
mod properties;
mod scene;
mod stands;

use serde_json::json;

use self::scene::{Scene, frontend_spec};
use maglev_model::event::{FrontendState, ProgramResult};

#[test]
fn a_new_frontend_is_answered_at_once_and_programmed_when_every_node_has_it() {
    let mut scene = Scene::with_nodes(&["a", "b"]);
    scene.backend("shop/one", "10.0.0.1");
    scene.frontend("shop/web", &frontend_spec(&["one"]));
    let written = scene.settle();
    assert!(written.contains(&"answer Frontend shop/web".to_owned()), "{written:?}");
    assert_eq!(scene.said("shop/web", "Accepted"), "True Accepted");
    assert_eq!(scene.said("shop/web", "ResolvedRefs"), "True ResolvedRefs");
    assert_eq!(scene.said("shop/web", "Programmed"), "Unknown Pending");
    assert_eq!(scene.said("shop/web", "Ready"), "Unknown Pending");
    let status = scene.frontend_status("shop/web");
    assert_eq!((status.observed_generation, status.nodes_summary.as_deref()), (Some(1), Some("0/2")));

    scene.reports("a", "shop/web", ProgramResult::Programmed, "");
    scene.state("a", "shop/web", FrontendState::Up);
    scene.settle();
    assert_eq!(scene.said("shop/web", "Programmed"), "Unknown Pending");
    scene.reports("b", "shop/web", ProgramResult::Programmed, "");
    scene.state("b", "shop/web", FrontendState::Up);
    let written = scene.settle();
    assert_eq!(written, ["answer Frontend shop/web"], "the first outcome is not rationed");
    for condition in ["Programmed", "Available", "Ready"] {
        assert_eq!(scene.said("shop/web", condition), format!("True {condition}"));
    }
    let status = scene.frontend_status("shop/web");
    assert_eq!(status.nodes_summary.as_deref(), Some("2/2"));
    assert_eq!((status.backends_summary.as_deref(), status.active_pool.as_deref()), (Some("1/1"), Some("primary")));
    assert_eq!(scene.settle(), [""; 0], "what is right is not written again");
}

#[test]
fn the_outcome_of_an_old_generation_is_none() {
    let mut scene = Scene::programmed(&["a"]);
    scene.frontend("shop/web", &frontend_spec(&["one", "two"]));
    let written = scene.settle();
    assert_eq!(written, ["answer Frontend shop/web"]);
    let status = scene.frontend_status("shop/web");
    assert_eq!(status.observed_generation, Some(2));
    assert!(status.conditions.iter().all(|of| of.observed_generation == Some(2)), "{:?}", status.conditions);
    assert_eq!(scene.said("shop/web", "Programmed"), "Unknown Pending");
    assert_eq!(scene.said("shop/web", "ResolvedRefs"), "False BackendNotFound");
    assert_eq!(scene.said("shop/web", "Degraded"), "True BackendNotFound");
    let message = scene.message("shop/web", "ResolvedRefs");
    assert!(message.contains("shop/web") && message.contains("two") && message.contains("spec.pools"), "{message}");
    assert_eq!(scene.said("shop/web", "Ready"), "False BackendNotFound");
    assert_eq!(scene.frontend_status("shop/web").backends_summary.as_deref(), Some("1/2"));
}

#[test]
fn what_resolved_otherwise_is_not_programmed_unless_fingerprints_tell_nothing() {
    let mut scene = Scene::programmed(&["a"]);
    // The Backend moves: the Frontend's generation stays, what it resolves to does not.
    scene.backend("shop/one", "10.0.0.9");
    scene.settle();
    assert_eq!(scene.said("shop/web", "Programmed"), "Unknown NodesPending");
    scene.reports_of_version("a", "shop/web", maglev_model::fingerprint::Fingerprint::VERSION + 1);
    scene.settle();
    assert_eq!(scene.said("shop/web", "Programmed"), "True Programmed");
}

#[test]
fn a_node_that_failed_is_named_with_its_reason() {
    let mut scene = Scene::programmed(&["a", "b", "c"]);
    scene.reports("b", "shop/web", ProgramResult::Held, "MixedFamilies");
    scene.reports("c", "shop/web", ProgramResult::Failed, "lb_add_del_vip: -81 (Value exists)");
    let written = scene.settle();
    assert_eq!(written, ["condition Frontend shop/web"]);
    assert_eq!(scene.said("shop/web", "Programmed"), "False VppRefused");
    let message = scene.message("shop/web", "Programmed");
    assert!(message.contains("2 of 3 nodes") && message.contains("c: Failed (lb_add_del_vip"), "{message}");
    assert_eq!(scene.frontend_status("shop/web").nodes_summary.as_deref(), Some("1/3"));
    scene.reports("c", "shop/web", ProgramResult::Failed, "NoSourceAddress");
    scene.settle();
    assert_eq!(scene.said("shop/web", "Programmed"), "False NoSourceAddress");
    assert_eq!(scene.said("shop/web", "Ready"), "False NoSourceAddress");
}

#[test]
fn health_is_told_and_blocks_nothing() {
    let mut scene = Scene::programmed(&["a", "b"]);
    scene.state("b", "shop/web", FrontendState::Down);
    assert_eq!(scene.settle(), ["condition Frontend shop/web"]);
    assert_eq!(scene.said("shop/web", "Available"), "False NoBackendUp");
    assert!(scene.message("shop/web", "Available").contains("1 of 2 nodes: b"));
    assert_eq!(scene.said("shop/web", "Ready"), "True Ready");
}

#[test]
fn without_a_node_nothing_is_programmed() {
    let mut scene = Scene::with_nodes(&[]);
    scene.frontend("shop/web", &frontend_spec(&[]));
    scene.settle();
    assert_eq!(scene.said("shop/web", "Programmed"), "False NoNodes");
    assert_eq!(scene.said("shop/web", "Available"), "Unknown NoReports");
}

#[test]
fn the_loser_of_a_conflict_is_conflicted_and_never_names_another_namespace() {
    let mut scene = Scene::programmed(&["a"]);
    scene.frontend("shop/twin", &frontend_spec(&["one"]));
    scene.frontend("other/twin", &frontend_spec(&["one"]));
    scene.settle();
    assert_eq!(scene.said("shop/twin", "Conflicted"), "True Conflicted");
    assert!(scene.message("shop/twin", "Conflicted").contains("web"));
    assert_eq!(scene.said("other/twin", "Conflicted"), "True AddressOwnedByOtherNamespace");
    assert!(
        !scene.message("other/twin", "Conflicted").contains("shop"),
        "{}",
        scene.message("other/twin", "Conflicted")
    );
    for twin in ["shop/twin", "other/twin"] {
        assert!(scene.said(twin, "Ready").starts_with("False"));
        assert!(scene.said(twin, "Available").starts_with("False"));
    }
    assert_eq!(scene.said("shop/web", "Conflicted"), "");
}

#[test]
fn a_backend_is_mixed_where_nodes_disagree_and_one_that_does_not_know_disagrees_with_nobody() {
    let mut scene = Scene::with_nodes(&["a", "b", "c"]);
    scene.check("shop/tcp");
    scene.probed("shop/one", "10.0.0.1", "tcp");
    scene.settle();
    assert_eq!(scene.backend_said("shop/one"), "Unknown 0 up 0 down 3 unknown of 3");
    scene.health("a", "shop/one", "10.0.0.1", "up");
    scene.settle();
    assert_eq!(scene.backend_said("shop/one"), "Up 1 up 0 down 2 unknown of 3");
    scene.health("b", "shop/one", "10.0.0.1", "down");
    assert_eq!(scene.settle(), ["state Backend shop/one"]);
    assert_eq!(scene.backend_said("shop/one"), "Mixed 1 up 1 down 1 unknown of 3");
    assert_eq!(scene.sentence("shop/one").as_deref(), Some("down on 1 of 3 nodes, L4TOUT"));
    scene.health("c", "shop/one", "10.0.0.1", "up");
    assert_eq!(scene.settle(), ["numbers Backend shop/one"]);
    // State belongs to the address.
    scene.probed("shop/one", "10.0.0.2", "tcp");
    scene.settle();
    assert_eq!(scene.backend_said("shop/one"), "Unknown 0 up 0 down 3 unknown of 3");
}

#[test]
fn a_backend_without_its_check_or_paused_says_so() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.probed("shop/one", "10.0.0.1", "nowhere");
    scene.object("Backend", "shop/two", &json!({"address": "10.0.0.2", "adminState": "Paused"}));
    scene.settle();
    assert_eq!(scene.said_of("Backend", "shop/one", "ResolvedRefs"), "False HealthCheckNotFound");
    assert_eq!(scene.said_of("Backend", "shop/one", "Ready"), "False HealthCheckNotFound");
    assert_eq!(scene.backend_said("shop/one"), "Unknown 0 up 0 down 1 unknown of 1");
    assert_eq!(scene.said_of("Backend", "shop/two", "Ready"), "True Ready");
    assert_eq!(scene.backend_said("shop/two"), "Paused 0 up 0 down 0 unknown of 1");
}

#[test]
fn an_object_that_cannot_be_read_is_not_accepted() {
    let mut scene = Scene::programmed(&["a"]);
    scene.object("Frontend", "shop/web", &json!({"address": "203.0.113.1", "protocol": "TCP", "port": 80, "pools": 7}));
    scene.object("Backend", "shop/odd", &json!({"address": 7}));
    scene.object("HealthCheck", "shop/odd", &json!({"type": "SMOKE"}));
    scene.settle();
    assert_eq!(scene.said("shop/web", "Accepted"), "False Unreadable");
    assert!(scene.message("shop/web", "Accepted").contains("spec.pools"));
    assert_eq!(scene.said("shop/web", "ResolvedRefs"), "Unknown Unreadable");
    for kind in ["Backend", "HealthCheck"] {
        assert_eq!(scene.said_of(kind, "shop/odd", "Accepted"), "False Unreadable");
        assert_eq!(scene.said_of(kind, "shop/odd", "Ready"), "False Unreadable");
    }
}

#[test]
fn a_standby_pool_that_serves_is_degraded() {
    let mut scene = Scene::with_nodes(&["a", "b"]);
    scene.check("shop/tcp");
    scene.probed("shop/one", "10.0.0.1", "tcp");
    scene.probed("shop/two", "10.0.0.2", "tcp");
    let pool = |name: &str, backend: &str| json!({"name": name, "backends": [{"name": backend}]});
    let pools = json!([pool("primary", "one"), pool("spare", "two")]);
    scene.frontend("shop/web", &json!({"address": "203.0.113.1", "protocol": "TCP", "port": 80, "pools": pools}));
    for node in ["a", "b"] {
        scene.health(node, "shop/one", "10.0.0.1", "up");
        scene.health(node, "shop/two", "10.0.0.2", "up");
    }
    scene.settle();
    assert_eq!(scene.said("shop/web", "Degraded"), "");
    scene.health("b", "shop/one", "10.0.0.1", "down");
    scene.settle();
    assert_eq!(scene.said("shop/web", "Degraded"), "True StandbyPool");
    assert!(
        scene.message("shop/web", "Degraded").contains("1 of 2 nodes: spare"),
        "{}",
        scene.message("shop/web", "Degraded")
    );
    scene.health("a", "shop/one", "10.0.0.1", "down");
    scene.settle();
    let status = scene.frontend_status("shop/web");
    assert_eq!((status.active_pool.as_deref(), status.backends_summary.as_deref()), (Some("spare"), Some("1/2")));
}

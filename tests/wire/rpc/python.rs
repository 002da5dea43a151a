//! Python's gRPC, which knows nothing of us but what reflection tells, lists the services and makes every call.

use std::{collections::BTreeSet, path::Path, time::Duration};

use serde_json::{Value as Json, json};

use super::world::World;
use maglev_testkit::python::{GRPC, interpreter, run};

const LIMIT: Duration = Duration::from_secs(120);

/// What came of one call.
struct Calls(Vec<Json>);

impl Calls {
    /// The answer to the call of `method` whose request holds `asked`.
    fn answer(&self, method: &str, asked: &str) -> &Json {
        let call = self.find(method, asked);
        call.get("answer").unwrap_or_else(|| panic!("{call:#}"))
    }

    fn find(&self, method: &str, asked: &str) -> &Json {
        let is_it = |call: &&Json| call["method"] == method && call["request"].to_string().contains(asked);
        self.0.iter().find(is_it).unwrap_or_else(|| panic!("{method} {asked} was not called"))
    }

    fn refusal(&self, method: &str, asked: &str) -> (&str, &str) {
        let call = self.find(method, asked);
        (call["code"].as_str().unwrap_or_else(|| panic!("{call:#}")), call["details"].as_str().unwrap())
    }
}

async fn every_call(world: &World) -> (Json, Calls) {
    let python = interpreter(&GRPC).await.unwrap();
    let script = maglev_testkit::checkout().join("tests/wire/rpc/every_call.py");
    let address = world.address.to_string();
    let (succeeded, text) =
        run(&python, &[&script, Path::new(&address), Path::new("default/tcp")], LIMIT).await.unwrap();
    assert!(succeeded, "{text}");
    let mut said: Json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let Json::Array(calls) = said["calls"].take() else { panic!("{text}") };
    (said, Calls(calls))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_nobody_here_wrote_lists_the_services_and_makes_every_call() {
    let world = World::start().await;
    world.until_ready(true).await;
    world.until_programmed().await;
    let (said, calls) = every_call(&world).await;
    let services: BTreeSet<_> = said["services"].as_array().unwrap().iter().filter_map(Json::as_str).collect();
    for service in ["maglev.v1.Maglev", "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"] {
        assert!(services.contains(service), "{services:?}");
    }
    assert_eq!(said["health"]["answer"], json!({ "status": "SERVING" }), "{said:#}");
    let methods: BTreeSet<_> = calls.0.iter().filter_map(|call| call["method"].as_str()).collect();
    assert_eq!(methods.len(), 13, "{methods:?}");

    let version = calls.answer("GetVersion", "");
    assert_eq!((&version["node"], &version["ready"]), (&json!("node-a"), &json!(true)));
    objects(&calls);
    vpp(&calls);
    assert_eq!(calls.answer("SyncVppLbState", "{}"), &json!({}));
    for method in ["GetFrontend", "GetBackend", "GetHealthCheck"] {
        let (code, details) = calls.refusal(method, "default/nobody");
        assert!(code == "NOT_FOUND" && details.contains("default/nobody"), "{method}: {code} {details}");
    }
    let (code, details) = calls.refusal("SyncVppLbState", "no-such-hold");
    assert_eq!((code, details), ("NOT_FOUND", "no removals are held under id no-such-hold; the hold may have ended"));
    world.stop().await;
}

fn objects(calls: &Calls) {
    let backend = calls.answer("GetBackend", "web-1");
    assert_eq!(backend["backend"]["health"]["state"], "BACKEND_STATE_UP");
    assert_eq!(backend["backend"]["frontends"], json!(["default/web"]));
    assert_eq!(
        (&backend["probing"]["counter"], &backend["probing"]["last"]["code"]),
        (&json!(4), &json!("PROBE_CODE_L4OK"))
    );
    let frontend = calls.answer("GetFrontend", "default/web");
    let status = &frontend["frontend"];
    assert_eq!((&status["state"], &status["activePool"]), (&json!("FRONTEND_STATE_UP"), &json!(0)));
    assert_eq!(status["report"]["result"], "PROGRAM_RESULT_PROGRAMMED");
    assert!(status["report"]["verifiedAt"].is_string(), "{status:#}");
    let weights: Vec<_> = status["frontend"]["pools"][0]["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| (member["effectiveWeight"].as_u64(), member["why"].as_str()))
        .collect();
    assert_eq!(weights, [(Some(10), Some("WEIGHT_REASON_UP")), (Some(0), Some("WEIGHT_REASON_PAUSED"))]);
    let check = &calls.answer("GetHealthCheck", "default/tcp")["healthCheck"];
    assert_eq!(
        (&check["healthCheck"]["interval"], &check["backends"]),
        (&json!("0.100s"), &json!(["default/web-1", "default/web-2"]))
    );
    for (method, list, names) in [
        ("ListFrontends", "frontends", vec!["default/web"]),
        ("ListBackends", "backends", vec!["default/web-1", "default/web-2"]),
        ("ListHealthChecks", "healthChecks", vec!["default/tcp"]),
    ] {
        let listed = calls.answer(method, "")[list].as_array().unwrap();
        assert_eq!(listed.iter().filter_map(|of| of["name"].as_str()).collect::<Vec<_>>(), names);
    }
    let state = calls.answer("GetState", "");
    assert_eq!(state["state"]["frontends"].as_array().map(Vec::len), Some(1));
    assert!(state["asOf"]["epoch"].is_string() && state["asOf"]["seq"].is_string(), "{state:#}");
    let watched = calls.find("WatchEvents", "web-1")["messages"].as_array().cloned().unwrap_or_default();
    assert_eq!((watched.len(), &watched[0]["asOf"]["epoch"]), (2, &state["asOf"]["epoch"]));
    let event = &watched[1]["events"][0];
    assert!(event["name"].as_str().is_some_and(|name| name.starts_with("probe-")), "{event:#}");
    assert_eq!(event["attributes"][0], json!({ "key": "backend", "value": "default/web-1" }));
}

fn vpp(calls: &Calls) {
    let info = calls.answer("GetVppInfo", "");
    assert!(info["connectedSince"].is_string() && info["started"].is_string(), "{info:#}");
    let state = &calls.answer("GetVppLbState", "")["state"];
    let server = &state["vips"][0]["servers"][0];
    assert_eq!((&state["vips"][0]["id"]["address"], &server["buckets"]), (&json!("203.0.113.10"), &json!(1024)));
    let counted = &calls.answer("GetVppLbCounters", "")["counters"]["vips"][0];
    assert_eq!(counted["id"]["address"], "203.0.113.10");
    assert!(counted["packets"].is_object(), "{counted:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_vpp_its_calls_are_unavailable_and_the_others_answer() {
    let world = World::start().await;
    world.until_ready(true).await;
    world.simulator.stop().await.unwrap();
    world.until_ready(false).await;
    let (said, calls) = every_call(&world).await;
    assert_eq!(said["health"]["answer"], json!({ "status": "NOT_SERVING" }), "{said:#}");
    for method in ["GetVppInfo", "GetVppLbState", "GetVppLbCounters"] {
        assert_eq!(calls.refusal(method, ""), ("UNAVAILABLE", "VPP is not connected"), "{method}");
    }
    assert_eq!(calls.answer("GetVersion", "")["notReadyReason"], "waiting for VPP");
    assert_eq!(calls.refusal("SyncVppLbState", "{}"), ("FAILED_PRECONDITION", "VPP is not connected"));
    assert_eq!(calls.answer("GetBackend", "web-1")["backend"]["health"]["state"], "BACKEND_STATE_UP");
    world.stop().await;
}

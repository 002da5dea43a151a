//! Python's gRPC client, which knows the service by reflection only, lists the services and makes every call.

use std::{collections::BTreeSet, path::Path, time::Duration};

use serde_json::{Value as Json, json};

use super::running_agent::RunningAgent;
use maglev_testkit::python::{GRPC, interpreter, run};

const LIMIT: Duration = Duration::from_secs(120);

/// The calls with their requests and answers or errors.
struct Calls(Vec<Json>);

impl Calls {
    /// The answer to the call of `method` whose request contains `text`.
    fn answer(&self, method: &str, text: &str) -> &Json {
        let call = self.find(method, text);
        call.get("answer").unwrap_or_else(|| panic!("{call:#}"))
    }

    fn find(&self, method: &str, text: &str) -> &Json {
        let matches = |call: &&Json| call["method"] == method && call["request"].to_string().contains(text);
        self.0.iter().find(matches).unwrap_or_else(|| panic!("no call of {method} with {text}"))
    }

    fn error(&self, method: &str, text: &str) -> (&str, &str) {
        let call = self.find(method, text);
        (call["code"].as_str().unwrap_or_else(|| panic!("{call:#}")), call["details"].as_str().unwrap())
    }
}

async fn make_every_call(agent: &RunningAgent) -> (Json, Calls) {
    let python = interpreter(&GRPC).await.unwrap();
    let script = maglev_testkit::checkout().join("tests/wire/rpc/every_call.py");
    let address = agent.address.to_string();
    let (succeeded, output) =
        run(&python, &[&script, Path::new(&address), Path::new("default/tcp")], LIMIT).await.unwrap();
    assert!(succeeded, "{output}");
    let mut parsed: Json = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
    let Json::Array(calls) = parsed["calls"].take() else { panic!("{output}") };
    (parsed, Calls(calls))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn third_party_grpc_client_can_call_everything() {
    let agent = RunningAgent::start().await;
    agent.until_ready(true).await;
    agent.until_programmed().await;
    let (output, calls) = make_every_call(&agent).await;
    let services: BTreeSet<_> = output["services"].as_array().unwrap().iter().filter_map(Json::as_str).collect();
    for service in ["maglev.v1.Maglev", "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"] {
        assert!(services.contains(service), "{services:?}");
    }
    assert_eq!(output["health"]["answer"], json!({ "status": "SERVING" }), "{output:#}");
    let methods: BTreeSet<_> = calls.0.iter().filter_map(|call| call["method"].as_str()).collect();
    assert_eq!(methods.len(), 14, "{methods:?}");

    let version = calls.answer("GetVersion", "");
    assert_eq!((&version["node"], &version["ready"]), (&json!("node-a"), &json!(true)));
    assert_objects(&calls);
    assert_vpp(&calls);
    assert_eq!(calls.answer("SyncVppLbState", "{}"), &json!({}));
    for method in ["GetFrontend", "GetBackend", "GetHealthCheck"] {
        let (code, details) = calls.error(method, "default/no-such-object");
        assert!(code == "NOT_FOUND" && details.contains("default/no-such-object"), "{method}: {code} {details}");
    }
    agent.stop().await;
}

fn assert_objects(calls: &Calls) {
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
        assert_eq!(listed.iter().filter_map(|object| object["name"].as_str()).collect::<Vec<_>>(), names);
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

fn assert_vpp(calls: &Calls) {
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
async fn without_vpp_only_its_calls_are_unavailable() {
    let agent = RunningAgent::start().await;
    agent.until_ready(true).await;
    agent.simulator.stop().await.unwrap();
    agent.until_ready(false).await;
    let (output, calls) = make_every_call(&agent).await;
    assert_eq!(output["health"]["answer"], json!({ "status": "NOT_SERVING" }), "{output:#}");
    for method in ["GetVppInfo", "GetVppLbState", "GetVppLbCounters"] {
        assert_eq!(calls.error(method, ""), ("UNAVAILABLE", "VPP is not connected"), "{method}");
    }
    assert_eq!(calls.answer("GetVersion", "")["notReadyReason"], "waiting for VPP");
    assert_eq!(calls.error("SyncVppLbState", "{}"), ("FAILED_PRECONDITION", "VPP is not connected"));
    assert_eq!(calls.answer("GetBackend", "web-1")["backend"]["health"]["state"], "BACKEND_STATE_UP");
    agent.stop().await;
}

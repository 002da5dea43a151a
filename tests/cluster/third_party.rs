//! Third-party programs against a running sandbox: `promtool` checks every `/metrics`, Python's gRPC client makes every
//! call to an agent.

use std::{collections::BTreeSet, path::Path, time::Duration};

use serde_json::Value as Json;
use tokio::process::Command;

use super::{
    harness::{eventually, root, run},
    metrics::assert_documented,
    sandbox::Sandbox,
};
use maglev_auth::{AUDIENCE, agent_name};
use maglev_testkit::python::{GRPC, interpreter};

/// A pod of the chart.
struct Pod {
    component: String,
    address: String,
}

async fn pods(sandbox: &Sandbox) -> Vec<Pod> {
    let selector = "app.kubernetes.io/name=maglev";
    let listed = sandbox.kubectl(&["get", "pods", "-l", selector, "-o", "json"]).await;
    let listed: Json = serde_json::from_str(&listed).unwrap();
    let text = |pod: &Json, pointer: &str| pod.pointer(pointer).and_then(Json::as_str).unwrap().to_owned();
    let pod = |pod: &Json| Pod {
        component: text(pod, "/metadata/labels/app.kubernetes.io~1component"),
        address: text(pod, "/status/podIP"),
    };
    listed["items"].as_array().unwrap().iter().map(pod).collect()
}

/// Checks that the metrics of every program are documented and pass `promtool`.
async fn promtool_accepts_metrics(pods: &[Pod]) {
    let ports = [("maglevd", 9091), ("dashboard", 9092), ("controller", 9093)];
    let mut checked = BTreeSet::new();
    for pod in pods {
        let Some((component, port)) = ports.iter().find(|(component, _)| *component == pod.component) else {
            continue;
        };
        let url = format!("http://{}:{port}/metrics", pod.address);
        let scraped = eventually(&format!("{component} serves {url}"), async || {
            let output = run(Command::new("curl").args(["-sS", "--fail", &url]), "").await;
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
        })
        .await;
        assert_documented(&scraped).await;
        checked.insert(*component);
    }
    assert_eq!(checked.len(), ports.len(), "{checked:?}");
}

/// Calls every gRPC method of an agent from Python, whose client knows the service by reflection only, with an operator's
/// token.
async fn grpc_client_can_call_everything(sandbox: &Sandbox, pods: &[Pod]) {
    let agent = pods.iter().find(|pod| pod.component == "maglevd").expect("an agent's pod exists");
    let python = interpreter(&GRPC).await.unwrap();
    let script = root().join("tests/wire/rpc/every_call.py");
    let address = format!("{}:9094", agent.address);
    let (authorities, token) = (sandbox.dir.join("agents-ca.crt"), sandbox.dir.join("operator-token"));
    let text = sandbox.kubectl(&["get", "configmap", "maglev-ca", "-o", "jsonpath={.data.ca\\.crt}"]).await;
    std::fs::write(&authorities, text).unwrap();
    let audience = format!("--audience={AUDIENCE}");
    std::fs::write(&token, sandbox.kubectl(&["create", "token", "maglevc-operator", &audience]).await).unwrap();
    let name = agent_name("default");
    let args = [&*script, Path::new(&address), Path::new("default/web"), Path::new(&name), &*authorities, &*token];
    let (succeeded, text) = maglev_testkit::python::run(&python, &args, Duration::from_secs(120)).await.unwrap();
    assert!(succeeded, "{text}");
    let output: Json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let services: Vec<_> = output["services"].as_array().unwrap().iter().filter_map(Json::as_str).collect();
    assert!(services.contains(&"maglev.v1.Maglev") && services.contains(&"grpc.health.v1.Health"), "{services:?}");
    assert_eq!(output["health"]["answer"]["status"], "SERVING");
    let mut answered = BTreeSet::new();
    for call in output["calls"].as_array().unwrap() {
        let method = call["method"].as_str().unwrap();
        let refusal = call["details"].as_str();
        // Only the requests for names that do not exist are refused, with the name.
        let unknown_name =
            ["default/no-such-object", "no-such-hold"].iter().find(|name| call["request"].to_string().contains(**name));
        match (unknown_name, refusal) {
            (Some(name), Some(refusal)) => {
                assert!(call["code"] == "NOT_FOUND" && refusal.contains(name), "{call:#}");
            }
            (None, None) => drop(answered.insert(method)),
            _ => panic!("{call:#}"),
        }
    }
    assert_eq!(answered.len(), 14, "{answered:?}");
}

pub async fn promtool_and_python_accept(sandbox: &Sandbox) {
    let pods = pods(sandbox).await;
    promtool_accepts_metrics(&pods).await;
    grpc_client_can_call_everything(sandbox, &pods).await;
}

//! What programs that nobody here wrote say of a running sandbox: `promtool` of every `/metrics`, Python's gRPC of every
//! call to an agent.

use std::{collections::BTreeSet, path::Path, time::Duration};

use serde_json::Value as Json;
use tokio::process::Command;

use super::{
    harness::{eventually, root, run},
    metrics::are_documented,
    up::Sandbox,
};
use maglev_testkit::python::{GRPC, interpreter};

/// One of our pods, by its component, and its address.
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

/// Every program's metrics are documented, and Prometheus has nothing to say against them.
async fn judge_metrics(pods: &[Pod]) {
    let ports = [("maglevd", 9091), ("dashboard", 9092), ("controller", 9093)];
    let mut judged = BTreeSet::new();
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
        are_documented(&scraped).await;
        judged.insert(*component);
    }
    assert_eq!(judged.len(), ports.len(), "{judged:?}");
}

/// Python's gRPC calls everything there is, knowing what reflection tells.
async fn call_all(pods: &[Pod]) {
    let agent = pods.iter().find(|pod| pod.component == "maglevd").expect("an agent's pod");
    let python = interpreter(&GRPC).await.unwrap();
    let script = root().join("tests/wire/rpc/every_call.py");
    let address = format!("{}:9090", agent.address);
    let args = [script.as_path(), Path::new(&address), Path::new("default/web")];
    let (succeeded, text) = maglev_testkit::python::run(&python, &args, Duration::from_secs(120)).await.unwrap();
    assert!(succeeded, "{text}");
    let said: Json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let services: Vec<_> = said["services"].as_array().unwrap().iter().filter_map(Json::as_str).collect();
    assert!(services.contains(&"maglev.v1.Maglev") && services.contains(&"grpc.health.v1.Health"), "{services:?}");
    assert_eq!(said["health"]["answer"]["status"], "SERVING");
    let mut answered = BTreeSet::new();
    for call in said["calls"].as_array().unwrap() {
        let method = call["method"].as_str().unwrap();
        let refusal = call["details"].as_str();
        // What is asked for by a name that nothing has is refused by that name; nothing else is.
        let in_vain =
            ["default/nobody", "no-such-hold"].iter().find(|name| call["request"].to_string().contains(**name));
        match (in_vain, refusal) {
            (Some(name), Some(refusal)) => {
                assert!(call["code"] == "NOT_FOUND" && refusal.contains(name), "{call:#}");
            }
            (None, None) => drop(answered.insert(method)),
            _ => panic!("{call:#}"),
        }
    }
    assert_eq!(answered.len(), 13, "{answered:?}");
}

/// Asks them all.
pub async fn judge(sandbox: &Sandbox) {
    let pods = pods(sandbox).await;
    judge_metrics(&pods).await;
    call_all(&pods).await;
}

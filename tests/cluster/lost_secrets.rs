//! Agents without the Secrets of their certificate and without a controller: they serve with the certificate in memory,
//! and go on syncing with VPP.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use super::{harness::eventually, maglevc::maglevc_output, sandbox::Sandbox};

/// Agents read their certificate again every minute.
const REREAD_LIMIT: Duration = Duration::from_secs(120);

/// The files `tls.crt` of the sandbox's pods.
fn certificate_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = entries.flat_map(|path| if path.is_dir() { certificate_files(&path) } else { vec![path] });
    files.filter(|path| path.ends_with("tls.crt")).collect()
}

/// The number of times that each agent has logged that its certificate is missing. Agents also log it at their start, before
/// they have one.
async fn missed(sandbox: &Sandbox) -> Vec<usize> {
    let mut counts = Vec::new();
    for agent in sandbox.agents().await {
        let log = sandbox.kubectl(&["logs", &agent]).await;
        counts.push(log.matches("the certificate of gRPC is not renewed").count());
    }
    counts
}

/// Waits until each agent has found that its certificate is gone.
async fn until_missed(sandbox: &Sandbox, before: &[usize]) {
    let deadline = Instant::now() + REREAD_LIMIT;
    while missed(sandbox).await.iter().zip(before).any(|(now, before)| now <= before) {
        assert!(Instant::now() < deadline, "an agent does not notice that its certificate is gone");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The weight of the demo's first server in both VPPs, as their agents report it.
async fn weights(sandbox: &Sandbox) -> Vec<Value> {
    let mut weights = Vec::new();
    for node in ["node-a", "node-b"] {
        let words = ["show", "vpp", "lb", "state", "--node", node, "--output", "json"];
        let state: Value = serde_json::from_str(&maglevc_output(sandbox, &words).await).unwrap();
        let servers = state.pointer("/vips/0/applicationServers").and_then(Value::as_array).cloned();
        let servers = servers.unwrap_or_else(|| panic!("no server in {state:#}"));
        weights.extend(
            servers.iter().filter(|server| server["address"] == "127.0.2.1").map(|server| server["weight"].clone()),
        );
    }
    weights
}

#[tokio::test]
async fn agents_serve_and_sync_without_their_secrets_and_without_a_controller() {
    let sandbox = Sandbox::up("lost-secrets", &[]).await;
    let dir = sandbox.dir.join("nodes");
    assert_eq!(certificate_files(&dir).len(), 2, "each agent has a certificate");
    sandbox.kubectl(&["scale", "deployment/maglev-controller", "--replicas=0"]).await;
    eventually("the controller has ended", async || {
        let selector = "app.kubernetes.io/component=controller";
        sandbox.kubectl(&["get", "pods", "-l", selector, "-o", "name"]).await.is_empty().then_some(())
    })
    .await;
    let before = missed(&sandbox).await;
    sandbox.kubectl(&["delete", "secret", "maglev-ca", "maglevd-tls"]).await;
    eventually("the files are gone", async || certificate_files(&dir).is_empty().then_some(())).await;
    until_missed(&sandbox, &before).await;

    // Each call is a new connection, for which maglevc requires a certificate of the authorities.
    assert_eq!(weights(&sandbox).await, [10, 10]);
    let weight = r#"[{"op": "add", "path": "/spec/pools/0/backends/0/weight", "value": 50}]"#;
    sandbox.kubectl(&["patch", "mfe/web", "--type=json", "-p", weight]).await;
    eventually("both VPPs have the new weight", async || (weights(&sandbox).await == [50, 50]).then_some(())).await;
    let status = maglevc_output(&sandbox, &["show", "nodes", "--output", "json"]).await;
    let nodes: Value = serde_json::from_str(&status).unwrap();
    assert!(!status.contains("TLSNotTrusted"), "{nodes:#}");
    let secrets = sandbox.kubectl(&["get", "secrets", "-o", "name"]).await;
    assert!(!secrets.contains("maglevd-tls") && !secrets.contains("maglev-ca"), "{secrets}");
}

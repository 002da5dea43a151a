//! `maglevc drain node` with a real API server, agents and simulated VPPs. `packets/drain.rs` drains with flows.

use serde_json::Value;

use super::super::{
    harness::{eventually, run},
    sandbox::Sandbox,
};
use super::{maglevc, maglevc_output};
use maglev_testkit::binary;

/// Two Backends with an address of node-a, one of them disabled, and one with that of node-b.
const ON_NODES: &str = "
apiVersion: maglev.vpp.io/v1alpha1
kind: Backend
metadata: {name: on-a, namespace: default}
spec: {address: 127.0.1.1}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Backend
metadata: {name: off-a, namespace: default}
spec: {address: 127.0.1.1, adminState: Disabled}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Backend
metadata: {name: on-b, namespace: default}
spec: {address: 127.0.1.2}
";

async fn admin_states(sandbox: &Sandbox) -> Vec<String> {
    let mut states = Vec::new();
    for backend in ["on-a", "off-a", "on-b"] {
        states.push(sandbox.kubectl(&["get", "mbe", backend, "-o", "jsonpath={.spec.adminState}"]).await);
    }
    states
}

pub async fn backends_with_an_address_of_the_node_are_drained(sandbox: &Sandbox) {
    let applied = run(&mut sandbox.command("kubectl", &["apply", "-f", "-"]), ON_NODES).await;
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    eventually("the agents have the Backends", async || {
        let backends = maglevc_output(sandbox, &["show", "backends"]).await;
        ["default/on-a", "default/off-a", "default/on-b"].iter().all(|name| backends.contains(name)).then_some(())
    })
    .await;

    let output = maglevc(sandbox, &binary("maglevc"), &["drain", "node", "node-a", "-o", "json"], "").await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let drained: Value = serde_json::from_slice(&output.stdout).unwrap();
    let backends = drained["backends"].as_array().unwrap();
    assert_eq!((backends.len(), &backends[0]["backend"]), (1, &"default/on-a".into()), "{drained}");
    assert_eq!((&backends[0]["drained"], &backends[0]["reason"]), (&true.into(), &"NoFlows".into()), "{drained}");
    assert_eq!(admin_states(sandbox).await, ["Paused", "Disabled", ""]);

    maglevc_output(sandbox, &["undrain", "backend", "on-a"]).await;
    assert_eq!(admin_states(sandbox).await, ["Enabled", "Disabled", ""]);
    sandbox.kubectl(&["delete", "mbe", "on-a", "off-a", "on-b"]).await;
}

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

/// A Frontend that follows a Service with an endpoint on each Node, which are not probed.
const SERVICE: &str = "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: nodes-1, namespace: default, labels: {kubernetes.io/service-name: nodes}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints:
- {addresses: [10.0.0.1], nodeName: node-a, conditions: {ready: true}}
- {addresses: [10.0.0.2], nodeName: node-b, conditions: {ready: true}}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: nodes, namespace: default}
spec:
  address: 203.0.113.206
  protocol: TCP
  port: 80
  pools: [{name: primary, service: {name: nodes, targets: Nodes}}]
---
apiVersion: maglev.vpp.io/v1alpha1
kind: LoadBalancerConfig
metadata: {name: unprobed}
spec: {nodeSelector: {no: node}, services: {nodeHealthCheck: {type: None}}}
";

/// Waits until `show frontend nodes` has these effective weights of the Nodes.
async fn until_effective(sandbox: &Sandbox, expected: [u64; 2]) {
    eventually(&format!("the Nodes have the weights {expected:?}"), async || {
        let mut found = Vec::new();
        for node in ["node:node-a", "node:node-b"] {
            let output = maglevc(sandbox, &binary("maglevc"), &["show", "backend", node, "-o", "json"], "").await;
            let shown: Value = serde_json::from_slice(&output.stdout).ok()?;
            found.push(shown["weights"][0]["effective"].as_u64()?);
        }
        (found == expected).then_some(())
    })
    .await;
}

pub async fn node_in_pools_of_services_is_drained(sandbox: &Sandbox) {
    let applied = run(&mut sandbox.command("kubectl", &["apply", "-f", "-"]), SERVICE).await;
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    until_effective(sandbox, [10, 10]).await;

    let drain = async |node: &'static str| {
        let args = ["drain", "node", node, "--reason", "kernel", "-o", "json"];
        maglevc(sandbox, &binary("maglevc"), &args, "").await
    };
    let output = drain("node-a").await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let drained: Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = &drained["backends"][0];
    assert_eq!((&row["backend"], &row["drained"]), (&"node:node-a".into(), &true.into()), "{drained}");
    assert_eq!(drained["backends"].as_array().unwrap().len(), 1, "{drained}");
    until_effective(sandbox, [0, 10]).await;
    let cause = "Node node-a has the annotation maglev.vpp.io/drain";
    for (args, expected) in [
        (["show", "backend", "node:node-a"], format!("Paused: {cause}")),
        (["why", "backend", "node:node-a"], format!("{cause}: no new flows")),
        (["why", "backend", "node:node-b"], "no HealthCheck: always up".to_owned()),
    ] {
        let shown = maglevc_output(sandbox, &args).await;
        assert!(shown.contains(&expected), "{expected} is not in {shown}");
    }
    eventually("the status names the drained Node", async || {
        let path = "jsonpath={.status.conditions[?(@.type=='Available')].message}";
        let message = sandbox.kubectl(&["get", "mfe", "nodes", "-o", path]).await;
        message.contains(&format!("{cause}: no new flows to it")).then_some(())
    })
    .await;

    // The last Node of a Frontend.
    let output = drain("node-b").await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("default/nodes") && errors.contains("--force"), "{errors}");
    until_effective(sandbox, [0, 10]).await;

    // A Node has no adminState Disabled.
    let args = ["set", "backend", "node:node-a", "disable"];
    let output = maglevc(sandbox, &binary("maglevc"), &args, "").await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("maglevc drain node node-a"), "{errors}");

    maglevc_output(sandbox, &["undrain", "node", "node-a"]).await;
    until_effective(sandbox, [10, 10]).await;
    let annotations = sandbox.kubectl(&["get", "node", "node-a", "-o", "jsonpath={.metadata.annotations}"]).await;
    assert!(!annotations.contains("maglev.vpp.io/drain"), "{annotations}");
    sandbox.kubectl(&["delete", "mfe/nodes", "endpointslice/nodes-1", "mlbc/unprobed"]).await;
}

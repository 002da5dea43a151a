//! The discovery of agents by `maglevc`, with pods of other people that have the labels and the node of an agent.

use std::process::Output;

use serde_json::Value;
use tokio::process::Command;

use super::harness::{Cluster, cluster, delete_cluster_scoped, run};

/// The owner that the DaemonSet controller sets.
const DAEMON_SET: &str = "
  ownerReferences:
  - {apiVersion: apps/v1, kind: DaemonSet, name: maglevd, uid: 3c2a1c5e-0000-4000-8000-000000000001, controller: true}";

/// Creates a pod with the labels of an agent's pod on `node`.
async fn create_pod(cluster: &Cluster, namespace: &str, name: &str, node: &str, owner: &str) {
    let pod = format!(
        "
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  labels: {{app.kubernetes.io/name: maglev, app.kubernetes.io/component: maglevd}}{owner}
spec:
  nodeName: {node}
  containers: [{{name: maglevd, image: none}}]
"
    );
    cluster.apply(namespace, &pod).await.unwrap();
    // As a kubelet does: a pod without an address is no agent.
    let status = r#"--patch={"status": {"phase": "Running", "podIP": "192.0.2.1", "podIPs": [{"ip": "192.0.2.1"}]}}"#;
    cluster.kubectl(&["patch", "pod", name, "-n", namespace, "--subresource=status", "--type=merge", status]).await;
}

async fn show_nodes(cluster: &Cluster, flags: &[&str]) -> Output {
    let mut command = Command::new(maglev_testkit::binary("maglevc"));
    command.args(["show", "nodes", "--output", "json"]).args(flags).env_clear();
    command.env("KUBECONFIG", cluster.plane().kubeconfig()).env("HOME", cluster.dir());
    run(command.kill_on_drop(true), "").await
}

/// The pod and the error of each node.
async fn agents(cluster: &Cluster, namespace: &str) -> Vec<(String, String)> {
    let output = show_nodes(cluster, &["--agent-namespace", namespace]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let nodes: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |node: &Value, key: &str| node[key].as_str().unwrap_or_default().to_owned();
    nodes.as_array().unwrap().iter().map(|node| (text(node, "pod"), text(node, "reason"))).collect()
}

#[tokio::test]
async fn pods_of_others_do_not_replace_the_agent_of_a_node() {
    let cluster = cluster().await;
    let (release, tenant) = (cluster.namespace("release").await, cluster.namespace("tenant").await);
    let node = format!("{release}-node");
    cluster.apply(&release, &format!("{{apiVersion: v1, kind: Node, metadata: {{name: {node}}}}}")).await.unwrap();
    for namespace in [&release, &tenant] {
        cluster.service_account(namespace, "default").await;
    }
    create_pod(cluster, &release, "maglevd-real", &node, DAEMON_SET).await;
    // The last pod in the order of names replaced the others.
    create_pod(cluster, &release, "zz-no-owner", &node, "").await;
    create_pod(cluster, &tenant, "zz-tenant", &node, "").await;
    let real = format!("{release}/maglevd-real");
    let found = agents(cluster, &release).await;
    assert_eq!(found.iter().map(|(pod, _)| pod.as_str()).collect::<Vec<_>>(), [&real]);

    // Without the flag, other tests of this control plane have agents, too.
    let output = show_nodes(cluster, &[]).await;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(text.contains(&release) && !text.contains(&tenant), "{text}");

    create_pod(cluster, &tenant, "zz-owned", &node, DAEMON_SET).await;
    let output = show_nodes(cluster, &[]).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains(&release) && error.contains(&tenant) && error.contains("--agent-namespace"), "{error}");
    assert_eq!(output.status.code(), Some(1));

    create_pod(cluster, &release, "maglevd-second", &node, DAEMON_SET).await;
    let found = agents(cluster, &release).await;
    let [(_, error)] = &found[..] else { panic!("one node: {found:?}") };
    assert!(error.contains(&real) && error.contains(&format!("{release}/maglevd-second")), "{error}");
    cluster.kubectl(&["delete", "pod", "--all", "-n", &release, "--grace-period=0", "--force"]).await;
    cluster.kubectl(&["delete", "pod", "--all", "-n", &tenant, "--grace-period=0", "--force"]).await;
    delete_cluster_scoped(cluster, &["node"], &[&node]).await;
}

//! A Node that is deleted and registered again while its agent's pod and connection stay.

use super::agents::{self, Agents};
use super::reports::programmed_report;
use super::{Replica, create_agent_pod, install_controller_role, kubectl_wait, lock_control_plane, manifests};
use crate::harness::{delete_cluster_scoped, eventually};

#[tokio::test]
async fn node_that_is_registered_again_counts_with_its_connected_agent() {
    let cluster = lock_control_plane().await;
    let namespace = install_controller_role(&cluster, "registered").await;
    let [a, b] = ["a", "b"].map(|node| format!("{namespace}-{node}"));
    let agents = Agents::default();
    for node in [&a, &b] {
        create_agent_pod(&cluster, &namespace, node).await;
        agents.connect(node);
    }
    let replica = Replica::start(&cluster, &namespace, "first", &agents).await;
    let report = async || {
        let report = programmed_report(&cluster, &namespace, "web").await;
        for node in [&a, &b] {
            agents.report(node, &report);
        }
    };
    let nodes = async |nodes: &str| {
        let summary =
            async || agents::status(&cluster, &namespace, "web").await.nodes_summary.filter(|sum| sum == nodes);
        eventually(&format!("{nodes} nodes have programmed the Frontend"), summary).await;
    };
    cluster.apply(&namespace, &manifests(7, 10)).await.unwrap();
    report().await;
    nodes("2/2").await;

    cluster.kubectl(&["delete", "node", &b]).await;
    nodes("1/1").await;
    // The Frontend changes meanwhile. The agent's connection stays, so that only changes arrive.
    cluster.apply(&namespace, &manifests(7, 20)).await.unwrap();
    report().await;
    create_agent_pod(&cluster, &namespace, &b).await;
    nodes("2/2").await;
    kubectl_wait(&cluster, &namespace, "mfe/web", "Programmed").await;
    for condition in ["AgentConnected", "VPPConnected"] {
        kubectl_wait(&cluster, &namespace, &format!("mnode/{b}"), condition).await;
    }
    replica.stop().await;
    cluster.kubectl(&["delete", "mfe/web", "mbe/one", "-n", &namespace]).await;
    delete_cluster_scoped(&cluster, &["node", "mnode"], &[&a, &b]).await;
}

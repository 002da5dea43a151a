//! Addresses that agents and controller refuse: those of Nodes as VIPs, and VIPs as those of Backends.

use maglev_model::Name;
use maglev_model::config::{MemberTarget, Standing};

use super::agents::Agents;
use super::{Replica, create_agent_pod, install_controller_role, lock_control_plane, manifests};
use crate::harness::{Cluster, delete_cluster_scoped, eventually};
use crate::watches::Agent;

/// Waits until the condition Accepted is False with `reason`.
async fn until_refused(cluster: &Cluster, namespace: &str, object: &str, reason: &str) {
    let path = r#"jsonpath={.status.conditions[?(@.type=="Accepted")].reason}"#;
    eventually(&format!("{object} is refused for {reason}"), async || {
        let found = cluster.kubectl(&["get", object, "-n", namespace, "-o", path]).await;
        (found.trim() == reason).then_some(())
    })
    .await;
}

#[tokio::test]
async fn addresses_of_nodes_and_vips_as_backends_are_refused_everywhere() {
    let cluster = lock_control_plane().await;
    let namespace = install_controller_role(&cluster, "refused").await;
    let [a, b] = ["a", "b"].map(|node| format!("{namespace}-{node}"));
    for node in [&a, &b] {
        create_agent_pod(&cluster, &namespace, node).await;
    }
    let replica = Replica::start(&cluster, &namespace, "first", &Agents::default()).await;
    let agent = Agent::start(cluster.client().await, &a);
    let standing = |name: &str| {
        let config = agent.config_rx.borrow();
        let frontend = config.as_ref()?.frontends.get(&Name::namespaced(&namespace, name))?;
        Some(frontend.standing.clone())
    };
    cluster.apply(&namespace, &manifests(8, 10)).await.unwrap();
    let served = async || (standing("web") == Some(Standing::Serving)).then_some(());
    eventually("the Frontend is served", served).await;

    // The VIP becomes the address of another node than the agent's.
    let address = r#"{"status": {"addresses": [{"type": "InternalIP", "address": "203.0.113.8"}]}}"#;
    cluster.kubectl(&["patch", "node", &b, "--subresource=status", "--type=merge", "-p", address]).await;
    until_refused(&cluster, &namespace, "mfe/web", "AddressUsedByNode").await;
    eventually("the agent holds the Frontend", async || {
        matches!(standing("web"), Some(Standing::Held(problem)) if problem.message.contains(&b)).then_some(())
    })
    .await;
    let other = address.replace("203.0.113.8", "192.0.2.200");
    cluster.kubectl(&["patch", "node", &b, "--subresource=status", "--type=merge", "-p", &other]).await;
    eventually("the Frontend is served again", served).await;

    cluster
        .kubectl(&[
            "patch",
            "mbe/one",
            "-n",
            &namespace,
            "--type=merge",
            "-p",
            r#"{"spec": {"address": "203.0.113.8"}}"#,
        ])
        .await;
    until_refused(&cluster, &namespace, "mbe/one", "AddressUsedByFrontend").await;
    eventually("the agent leaves the backend as it is", async || {
        let config = agent.config_rx.borrow();
        let frontend = config.as_ref()?.frontends.get(&Name::namespaced(&namespace, "web"))?;
        matches!(frontend.pools[0].members[0].target, MemberTarget::Unreadable { address: Some(_) }).then_some(())
    })
    .await;
    replica.stop().await;
    cluster.kubectl(&["delete", "mfe/web", "mbe/one", "-n", &namespace]).await;
    delete_cluster_scoped(&cluster, &["node", "mnode"], &[&a, &b]).await;
}

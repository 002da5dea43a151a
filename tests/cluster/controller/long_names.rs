//! Objects with the longest name that Kubernetes allows.

use super::agents::Agents;
use super::{Replica, install_controller_role, kubectl_wait, lock_control_plane, manifests};
use crate::harness::eventually;

#[tokio::test]
async fn object_with_the_longest_name_has_a_status_and_events() {
    let cluster = lock_control_plane().await;
    let namespace = install_controller_role(&cluster, "names").await;
    let name = "w".repeat(253);
    let manifests = manifests(9, 10).replace("name: web", &format!("name: {name}"));
    cluster.apply(&namespace, &manifests).await.unwrap();
    let replica = Replica::start(&cluster, &namespace, "first", &Agents::default()).await;
    kubectl_wait(&cluster, &namespace, &format!("mfe/{name}"), "Accepted").await;
    // No node runs an agent.
    eventually("the Frontend has an Event", async || {
        let path = r#"jsonpath={range .items[*]}{.regarding.name}{" "}{.reason}{"\n"}{end}"#;
        let events = cluster.kubectl(&["get", "events.events.k8s.io", "-n", &namespace, "-o", path]).await;
        events.contains(&format!("{name} NoNodes")).then_some(())
    })
    .await;
    replica.stop().await;
    cluster.kubectl(&["delete", &format!("mfe/{name}"), "mbe/one", "-n", &namespace]).await;
}

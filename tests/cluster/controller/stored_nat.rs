//! The status of a Frontend with encap type NAT, which version 0.1.0 allowed.

use serde_json::Value;

use super::{Agents, Replica, create_agent_pod, delete_cluster_scoped, eventually, install_controller_role};
use super::{kubectl_wait, lock_control_plane, manifests};
use crate::harness::{allow_nat, refuse_nat};

#[tokio::test]
async fn stored_nat_frontend_is_not_accepted_and_keeps_its_fields() {
    let cluster = lock_control_plane().await;
    let namespace = install_controller_role(&cluster, "nat").await;
    allow_nat(&cluster).await;
    let with_nat = manifests(7, 10) + "  encap: {type: NAT, nat: {targetPort: 8080}}\n";
    eventually("the Frontend is stored", async || cluster.apply(&namespace, &with_nat).await.ok()).await;
    refuse_nat(&cluster).await;

    let node = format!("{namespace}-a");
    let agents = Agents::default();
    create_agent_pod(&cluster, &namespace, &node).await;
    agents.connect(&node);
    let replica = Replica::start(&cluster, &namespace, "first", &agents).await;
    kubectl_wait(&cluster, &namespace, "mfe/web", "Accepted=False").await;
    // The type of a Frontend does not decode NAT.
    let json = cluster.kubectl(&["get", "mfe/web", "-n", &namespace, "-o", "json"]).await;
    let object: Value = serde_json::from_str(&json).unwrap();
    let condition = |name: &str| {
        let mut conditions = object["status"]["conditions"].as_array().unwrap().iter();
        let condition = conditions.find(|condition| condition["type"] == name).unwrap();
        ["status", "reason", "message"].map(|key| condition[key].as_str().unwrap())
    };
    let [_, reason, message] = condition("Accepted");
    assert_eq!(reason, "EncapUnsupported");
    assert!(message.contains("spec.encap.type NAT is not supported, because VPP drops the TCP packets"), "{message}");
    assert!(message.contains("use GRE or L3DSR; until it is corrected, its VIP stays in VPP as it is"), "{message}");
    assert_eq!(condition("Ready")[1], "EncapUnsupported");
    let [resolved, reason, _] = condition("ResolvedRefs");
    assert_eq!((resolved, reason), ("Unknown", "EncapUnsupported"));
    assert_eq!(object["spec"]["encap"]["nat"]["targetPort"], 8080, "the status write keeps the field");

    // Other fields may still be changed, and GRE corrects the Frontend.
    let patch =
        async |spec: &str| cluster.kubectl(&["patch", "mfe/web", "-n", &namespace, "--type=merge", "-p", spec]).await;
    patch(r#"{"spec": {"description": "still NAT"}}"#).await;
    patch(r#"{"spec": {"encap": {"type": "GRE", "nat": null}}}"#).await;
    kubectl_wait(&cluster, &namespace, "mfe/web", "Accepted=True").await;
    replica.stop().await;
    cluster.kubectl(&["delete", "mfe/web", "mbe/one", "-n", &namespace]).await;
    delete_cluster_scoped(&cluster, &["node", "mnode"], &[&node]).await;
}

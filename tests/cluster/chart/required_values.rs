//! Values that the chart requires or refuses, and the rights and names that follow from values.

use std::collections::BTreeSet;

use serde_json::json;

use super::super::harness::cluster;
use super::render::objects;
use super::{NODES, helm, template};

#[tokio::test]
async fn agent_requires_its_nodes_and_a_memory_limit() {
    let cluster = cluster().await;
    let chart = async |values: &str| {
        helm(cluster, &["template", "maglev", "charts/maglev", "--namespace", "maglev-system", "--set", values]).await
    };
    let error = chart("crds.install=false").await.unwrap_err();
    for text in [
        "agent.nodeSelector is empty",
        "agent.nodeSelector.role=load-balancer",
        r"agent.nodeSelector.kubernetes\.io/os=linux",
    ] {
        assert!(error.contains(text), "{text} is not in {error}");
    }
    let affinity = "agent.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]\
                    .matchExpressions[0].key=role";
    chart(&format!("{affinity},crds.install=false")).await.unwrap();
    for (component, class) in
        [("agent", ""), ("controller", "system-cluster-critical"), ("dashboard", "system-cluster-critical")]
    {
        let class = if class.is_empty() { String::new() } else { format!(",{component}.priorityClassName={class}") };
        let without_limit = format!("{NODES},{component}.resources.limits=null{class}");
        let error = chart(&without_limit).await.unwrap_err();
        let text = format!("{component}.resources.limits.memory is not set");
        assert!(error.contains(&text), "{error}");
    }
    let ordinary = format!("{NODES},agent.resources.limits=null,agent.priorityClassName=ordinary");
    chart(&ordinary).await.unwrap();
}

#[tokio::test]
async fn removed_rbac_values_name_their_replacement() {
    for removed in ["agent.rbac.secretNames={client}", "agent.rbac.configMapNames={authorities}"] {
        let error = template(cluster().await, "maglev", &["--set", removed]).await.unwrap_err();
        assert!(error.contains("agent.rbac.certificates: [{namespace: NAMESPACE, secrets: ["), "{error}");
    }
}

#[tokio::test]
async fn certificates_are_readable_in_their_namespaces_only() {
    let rendered = objects(
        cluster().await,
        &[
            "agent.rbac.certificates[0].namespace=shop,agent.rbac.certificates[0].secrets={client}",
            "agent.rbac.certificates[1].namespace=bank,agent.rbac.certificates[1].configMaps={authorities}",
        ],
    )
    .await;
    // Both Roles have one name, so this is the second.
    let role = &rendered["Role/maglev-system:maglevd-certificates"];
    assert_eq!(role["metadata"]["namespace"], "bank");
    assert_eq!(
        role["rules"],
        json!([{ "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["authorities"], "verbs": ["get"] }])
    );
    let cluster_role = rendered["ClusterRole/maglev-system:maglevd"].to_string();
    assert!(!cluster_role.contains("secrets") && !cluster_role.contains("configmaps"), "{cluster_role}");
}

#[tokio::test]
async fn releases_share_no_cluster_scoped_object() {
    let cluster = cluster().await;
    let names = async |release: &str, namespace: &str| {
        let more = ["--set", "crds.install=false", "--namespace", namespace];
        let rendered = template(cluster, release, &more).await.unwrap();
        let documents = rendered.split("\n---\n").filter(|text| text.contains("\nkind: Cluster"));
        let name = |text: &str| text.lines().find_map(|line| line.strip_prefix("  name: ")).unwrap().to_owned();
        documents.map(name).collect::<BTreeSet<_>>()
    };
    let (first, second) = (names("maglev", "maglev-system").await, names("blue", "blue-system").await);
    assert_eq!((first.len(), second.len()), (7, 7), "{first:?} {second:?}");
    assert!(first.is_disjoint(&second), "{first:?} {second:?}");
    assert!(first.contains("maglev-vip-admin") && second.contains("blue-maglev-vip-admin"), "{first:?} {second:?}");
}

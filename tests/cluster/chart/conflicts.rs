//! Changes by hand and renamed releases, with the flags of helm 4 that the guide names for them.

use std::collections::BTreeSet;

use super::super::harness::{Cluster, empty_control_plane};
use super::{NODES, helm};

/// Runs helm; a command with the chart gets the value that the chart requires.
async fn helm_run(cluster: &Cluster, command: &str) -> Result<String, String> {
    let mut words: Vec<&str> = command.split_whitespace().collect();
    if words.contains(&"charts/maglev") {
        words.extend(["--set", NODES]);
    }
    helm(cluster, &words).await
}

/// Names of the ClusterRoles and ClusterRoleBindings that helm installed.
async fn cluster_scoped(cluster: &Cluster) -> BTreeSet<String> {
    let kinds = "clusterroles,clusterrolebindings";
    let listed = cluster.kubectl(&["get", kinds, "-l", "app.kubernetes.io/managed-by=Helm", "-o", "name"]).await;
    listed.lines().map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn helm_flags_of_the_guide_resolve_manual_changes_and_a_new_release_name() {
    let cluster = empty_control_plane("conflicts").await;
    cluster.kubectl(&["create", "namespace", "lb"]).await;
    helm_run(&cluster, "install maglev charts/maglev -n lb").await.unwrap();

    cluster.kubectl(&["scale", "-n", "lb", "deploy/maglev-controller", "--replicas=1"]).await;
    cluster.kubectl(&["set", "image", "-n", "lb", "ds/maglevd", "maglevd=other:1"]).await;
    let upgrade = "upgrade maglev charts/maglev -n lb";
    let conflict = helm_run(&cluster, upgrade).await.unwrap_err();
    assert!(conflict.contains("conflict"), "{conflict}");
    helm_run(&cluster, &format!("{upgrade} --force-conflicts")).await.unwrap();
    let replicas = ["get", "-n", "lb", "deploy/maglev-controller", "-o", "jsonpath={.spec.replicas}"];
    assert_eq!(cluster.kubectl(&replicas).await, "2");
    helm_run(&cluster, upgrade).await.unwrap_or_else(|error| panic!("the conflicts are resolved: {error}"));

    helm_run(&cluster, "uninstall maglev -n lb").await.unwrap();
    let install = "install edge charts/maglev -n lb";
    let refused = helm_run(&cluster, install).await.unwrap_err();
    assert!(refused.contains("customresourcedefinitions") || refused.contains("CustomResourceDefinition"), "{refused}");
    helm_run(&cluster, &format!("{install} --take-ownership")).await.unwrap();
    second_release_installs_beside_the_first(&cluster).await;
}

/// Installs a release in another namespace, which shares the CRDs and nothing else.
async fn second_release_installs_beside_the_first(cluster: &Cluster) {
    let first = cluster_scoped(cluster).await;
    cluster.kubectl(&["create", "namespace", "lb-blue"]).await;
    let blue = "charts/maglev -n lb-blue --set crds.install=false";
    helm_run(cluster, &format!("install blue {blue}")).await.unwrap();
    let both = cluster_scoped(cluster).await;
    let second: BTreeSet<String> = both.difference(&first).cloned().collect();
    assert_eq!(second.len(), first.len(), "{both:?}");
    assert!(second.iter().all(|name| name.contains("blue")), "{second:?}");
    for command in ["upgrade edge charts/maglev -n lb", &format!("upgrade blue {blue}"), "uninstall blue -n lb-blue"] {
        helm_run(cluster, command).await.unwrap();
    }
    assert_eq!(cluster_scoped(cluster).await, first, "the first release keeps its objects");
    let crds = cluster.kubectl(&["get", "crds", "-o", "name"]).await;
    assert!(crds.contains("frontends.maglev.vpp.io"), "{crds}");
}

#[tokio::test]
async fn rendered_chart_has_hooks_only_with_the_test() {
    let cluster = super::super::harness::cluster().await;
    for (flags, expected) in [("", true), ("--no-hooks", false), ("--set tests.enabled=false", false)] {
        let rendered = helm_run(cluster, &format!("template maglev charts/maglev {flags}")).await.unwrap();
        assert_eq!(rendered.contains("helm.sh/hook: test"), expected, "{flags}");
    }
}

//! Changes by hand and renamed releases, with the flags of helm 4 that the guide names for them.

use super::super::harness::{Cluster, empty_control_plane};
use super::helm;

async fn helm_run(cluster: &Cluster, command: &str) -> Result<String, String> {
    helm(cluster, &command.split_whitespace().collect::<Vec<_>>()).await
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
}

#[tokio::test]
async fn rendered_chart_has_hooks_only_with_the_test() {
    let cluster = super::super::harness::cluster().await;
    for (flags, expected) in [("", true), ("--no-hooks", false), ("--set tests.enabled=false", false)] {
        let rendered = helm_run(cluster, &format!("template maglev charts/maglev {flags}")).await.unwrap();
        assert_eq!(rendered.contains("helm.sh/hook: test"), expected, "{flags}");
    }
}

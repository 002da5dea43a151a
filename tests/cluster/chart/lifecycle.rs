//! A release from installation to uninstallation, with real helm and real controllers: no step changes VPP's state.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::harness::{eventually, root};
use super::release::{NAMESPACE, Site};

/// The users' objects.
const OBJECTS: &str = "
apiVersion: maglev.vpp.io/v1alpha1
kind: LoadBalancerConfig
metadata: {name: quick}
spec: {sync: {startupMinDelay: 100ms, startupMaxDelay: 20s, interval: 2s}}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: HealthCheck
metadata: {name: http, namespace: shop}
spec: {type: HTTP, port: 8080, interval: 1s, http: {path: /healthz}}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Backend
metadata: {name: shop-1, namespace: shop}
spec: {address: 127.0.131.1, healthCheckRef: {name: http}}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Backend
metadata: {name: shop-2, namespace: shop}
spec: {address: 127.0.131.2, healthCheckRef: {name: http}}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: shop, namespace: shop}
spec:
  address: 203.0.113.20
  protocol: TCP
  port: 80
  pools: [{name: primary, backends: [{name: shop-1}, {name: shop-2}]}]
";

/// Objects that an uninstallation leaves, besides the test's namespaces: the CRDs and all custom resources.
const REMAINING: [&str; 14] = [
    "APIService /v1alpha1.maglev.vpp.io",
    "Backend shop/shop-1",
    "Backend shop/shop-2",
    "CustomResourceDefinition /addresspolicies.maglev.vpp.io",
    "CustomResourceDefinition /backends.maglev.vpp.io",
    "CustomResourceDefinition /frontends.maglev.vpp.io",
    "CustomResourceDefinition /healthchecks.maglev.vpp.io",
    "CustomResourceDefinition /loadbalancerconfigs.maglev.vpp.io",
    "CustomResourceDefinition /maglevnodes.maglev.vpp.io",
    "Frontend shop/shop",
    "HealthCheck shop/http",
    "LoadBalancerConfig /quick",
    "MaglevNode /lb-131",
    "MaglevNode /lb-132",
];

/// A copy of the chart with version 0.0.9 and without one field of Frontends.
fn previous_chart(site: &Site) -> PathBuf {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let target = to.join(path.file_name().unwrap());
            if path.is_dir() {
                copy(&path, &target);
            } else {
                fs::copy(&path, &target).unwrap();
            }
        }
    }
    let chart = site.dir.join("previous");
    copy(&root().join("charts/maglev"), &chart);
    let file = chart.join("Chart.yaml");
    let present = fs::read_to_string(&file).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let previous = present.replace(&format!("ersion: {version}"), "ersion: 0.0.9");
    assert_eq!(previous.matches("0.0.9").count(), 2, "version and appVersion: {previous}");
    fs::write(file, previous).unwrap();
    let file = chart.join("files/crds/frontends.yaml");
    let mut crd: Value = serde_saphyr::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let fields = crd.pointer_mut(spec).and_then(Value::as_object_mut).unwrap();
    fields.remove("description").expect("Frontends have a description");
    // JSON is valid YAML.
    fs::write(file, crd.to_string()).unwrap();
    chart
}

#[tokio::test]
async fn install_upgrade_rollback_and_uninstall_change_nothing_in_vpp() {
    let site = Site::start(131).await;
    for namespace in [NAMESPACE, "shop"] {
        site.cluster.kubectl(&["create", "namespace", namespace]).await;
    }
    for account in [NAMESPACE, "shop"].map(|namespace| format!("{namespace}/kube-root-ca.crt")) {
        let exists = async || site.inventory().await.iter().any(|object| object.ends_with(&account)).then_some(());
        eventually(&account, exists).await;
    }
    let before = site.inventory().await;
    install(&site, &previous_chart(&site)).await;
    aggregated_roles_grant_rights(&site).await;
    let (marks, certificates) = (site.marks(), certificates(&site).await);

    upgrade(&site).await;
    rollout_stops_at_the_first_node_that_cannot_sync(&site).await;
    roll_back(&site).await;
    assert_eq!(self::certificates(&site).await, certificates, "helm keeps the data that the controller wrote");
    assert_eq!(site.writes_since(&marks), [], "helm changed VPP's state");

    uninstall(&site, &before).await;
    assert_eq!(site.writes_since(&marks), [], "the uninstallation changed VPP's state");
    site.until_served().await;
    site.cluster.kubectl(&["delete", "namespace", "shop", NAMESPACE, "--timeout=50s"]).await;
    site.cluster.kubectl(&["delete", "mlbc", "quick"]).await;
    site.stop().await;
}

async fn install(site: &Site, chart: &Path) {
    let notes = site.release("install", chart, &["--wait", "--timeout", "180s"]).await;
    for expected in [
        "rollout status ds/maglevd",
        "helm -n maglev-system test maglev",
        "pod-security.kubernetes.io/enforce=privileged",
    ] {
        assert!(notes.contains(expected), "{expected} is not in {notes}");
    }
    site.cluster.apply("shop", OBJECTS).await.unwrap();
    for (object, condition) in [("mfe/shop", "Programmed"), ("mfe/shop", "Available"), ("mfe/shop", "Ready")] {
        site.wait(object, condition).await;
    }
    site.until_served().await;
    until_new_field_is_served(site, false).await;
}

/// The data of the objects with the agents' certificates, once the controller has filled them.
async fn certificates(site: &Site) -> Vec<Value> {
    eventually("the controller has made the certificates", async || {
        let objects = ["secret/maglev-ca", "secret/maglevd-tls", "configmap/maglev-ca"];
        let listed = site.cluster.kubectl(&[&["get", "-n", NAMESPACE, "-o", "json"][..], &objects].concat()).await;
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let data: Vec<Value> = listed["items"].as_array()?.iter().map(|object| object["data"].clone()).collect();
        (data.len() == 3 && data.iter().all(Value::is_object)).then_some(data)
    })
    .await
}

/// Waits until the API server serves the field that the previous chart lacks, or no longer serves the field.
async fn until_new_field_is_served(site: &Site, expected: bool) {
    let is_served = async || {
        let output = site.cluster.kubectl_with(&["explain", "frontend.spec.description"], "").await;
        (output.status.success() == expected).then_some(())
    };
    eventually(&format!("the new field is served: {expected}"), is_served).await;
}

/// Value of that field.
async fn description(site: &Site) -> String {
    let output = "-o=jsonpath={.spec.description}";
    site.cluster.kubectl(&["get", "mfe/shop", "-n", "shop", output]).await
}

/// Checks that the built-in roles include the right to read, only in the namespace of the binding, and that no role includes
/// writing AddressPolicies.
async fn aggregated_roles_grant_rights(site: &Site) {
    let operator = ["create", "clusterrolebinding", "oda", "--clusterrole=maglev-operator", "--user=oda"];
    site.cluster.kubectl(&operator).await;
    let roles = [("ed", "edit"), ("val", "view"), ("mia", "maglev-edit"), ("fay", "maglev-vip-admin")];
    for (name, role) in roles {
        let (role, user) = (format!("--clusterrole={role}"), format!("--user={name}"));
        site.cluster.kubectl(&["create", "rolebinding", name, &role, &user, "-n", "shop"]).await;
    }
    let can_i = async |user: &str, verb: &str, resource: &str, namespace: &str| {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let (resource, subresource) = (format!("{resource}.maglev.vpp.io"), format!("--subresource={subresource}"));
        let args = ["auth", "can-i", verb, &resource, &subresource, "--as", user, "-n", namespace];
        String::from_utf8(site.cluster.kubectl_with(&args, "").await.stdout).unwrap().trim() == "yes"
    };
    for (user, verb, resource, namespace, expected) in [
        ("val", "list", "frontends", "shop", true),
        ("val", "patch", "backends", "shop", false),
        ("ed", "list", "frontends", "shop", true),
        ("ed", "patch", "backends", "shop", false),
        ("ed", "create", "healthchecks", "shop", false),
        ("mia", "patch", "backends", "shop", true),
        ("mia", "create", "healthchecks", "shop", true),
        ("mia", "patch", "backends", "default", false),
        ("mia", "create", "addresspolicies", "shop", false),
        ("fay", "create", "addresspolicies", "shop", false),
        ("oda", "list", "addresspolicies", "default", true),
        ("oda", "patch", "addresspolicies", "default", false),
        ("ed", "patch", "frontends", "shop", false),
        ("ed", "patch", "backends", "default", false),
        ("fay", "create", "frontends", "shop", true),
        ("fay", "patch", "backends", "shop", false),
        ("fay", "create", "frontends", "default", false),
        ("fay", "patch", "maglevnodes", "default", false),
        ("ed", "patch", "maglevnodes", "default", false),
        ("oda", "patch", "maglevnodes", "default", true),
        ("oda", "patch", "maglevnodes/status", "default", false),
        ("oda", "delete", "maglevnodes", "default", false),
        ("oda", "patch", "frontends", "shop", false),
    ] {
        let matches = async || (can_i(user, verb, resource, namespace).await == expected).then_some(());
        eventually(&format!("{user} can {verb} {resource} in {namespace}: {expected}"), matches).await;
    }
}

async fn upgrade(site: &Site) {
    let agents = site.agents().await;
    site.release("upgrade", &root().join("charts/maglev"), &["--wait", "--timeout", "180s"]).await;
    let now = site.agents().await;
    assert!(agents.iter().all(|(node, pod)| now[node] != *pod), "a new image tag replaces every pod: {now:?}");
    until_new_field_is_served(site, true).await;
    let patch = r#"{"spec": {"description": "a shop"}}"#;
    site.cluster.kubectl(&["patch", "mfe/shop", "-n", "shop", "--type=merge", "-p", patch]).await;
    assert_eq!(description(site).await, "a shop");
    site.wait("mfe/shop", "Programmed").await;
    let tested = site.helm(&["test", "maglev", "--logs"]).await.unwrap();
    let answers = format!("ready, and maglevd {} answers on port 9094", env!("CARGO_PKG_VERSION"));
    assert_eq!(tested.matches(&answers).count(), 2, "{tested}");
    for part in ["maglev-controller-", "maglev-frontend-"] {
        assert!(tested.lines().any(|line| line.contains("ok      ") && line.contains(part)), "{part} in {tested}");
    }
}

async fn rollout_stops_at_the_first_node_that_cannot_sync(site: &Site) {
    let agents = site.agents().await;
    let broken = ["--set", "agent.vpp.runDirectory=/run/broken", "--set", "tests.within=1"];
    site.release("upgrade", &root().join("charts/maglev"), &broken).await;
    let replaced = eventually("one agent is replaced", async || {
        let now = site.agents().await;
        now.into_iter().find(|(node, pod)| agents[node] != *pod).filter(|_| agents.len() == 2)
    })
    .await;
    let (node, (pod, _)) = replaced;
    // After several failed syncs the rollout has had time to continue with the next node.
    eventually("the new agent's syncs fail", async || {
        let log = site.cluster.kubectl_with(&["logs", &pod, "-n", NAMESPACE], "").await;
        let log = String::from_utf8(log.stdout).unwrap();
        (log.matches("vpp-lb-sync-error").count() >= 3).then_some(())
    })
    .await;
    let status = site.cluster.kubectl(&["get", "ds/maglevd", "-n", NAMESPACE, "-o", "json"]).await;
    let set: Value = serde_json::from_str(&status).unwrap();
    let count = |name: &str| set["status"][name].as_u64();
    assert_eq!(set["status"]["observedGeneration"], set["metadata"]["generation"]);
    assert_eq!((count("updatedNumberScheduled"), count("numberAvailable")), (Some(1), Some(1)), "{set:#}");
    let now = site.agents().await;
    let untouched = now.iter().filter(|(other, _)| **other != node);
    assert!(untouched.map(|(other, pod)| agents[other] == *pod).eq([true]), "{now:?}");
    let tested = site.helm(&["test", "maglev"]).await.unwrap_err();
    let failure =
        format!("FAILED  {pod} on {node}: not ready: waiting for the first sync in which not every step fails");
    assert!(tested.contains(&failure), "{tested}");
}

/// Rolls back to the previous revision, then to the previous chart.
async fn roll_back(site: &Site) {
    site.helm(&["rollback", "maglev", "--wait", "--timeout", "180s"]).await.unwrap();
    assert_eq!(description(site).await, "a shop");
    site.helm(&["rollback", "maglev", "1", "--wait", "--timeout", "180s"]).await.unwrap();
    let history = site.helm(&["history", "maglev"]).await.unwrap();
    assert!(history.contains("Rollback to 1"), "{history}");
    until_new_field_is_served(site, false).await;
    assert_eq!(description(site).await, "", "the new field is dropped");
    site.wait("mfe/shop", "Programmed").await;
    site.until_served().await;
}

async fn uninstall(site: &Site, before: &BTreeSet<String>) {
    site.helm(&["uninstall", "maglev", "--wait", "--timeout", "180s"]).await.unwrap();
    let remaining: BTreeSet<String> = REMAINING.iter().map(|object| (*object).to_owned()).collect();
    let bindings = ["ed", "fay", "mia", "val"].map(|name| format!("RoleBinding shop/{name}"));
    let bindings = bindings.into_iter().chain(["ClusterRoleBinding /oda".to_owned()]);
    let remaining: BTreeSet<String> = remaining.into_iter().chain(bindings).collect();
    // Another test's release may have left the CRDs already.
    let before: BTreeSet<String> = before.difference(&remaining).cloned().collect();
    let mut left = BTreeSet::new();
    let is_uninstalled = async || {
        left = site.inventory().await.difference(&before).cloned().collect();
        (left == remaining).then_some(())
    };
    let waited = tokio::time::timeout(
        super::super::harness::LIMIT / 2,
        eventually("only the expected objects remain", is_uninstalled),
    )
    .await;
    assert!(
        waited.is_ok(),
        "difference to the expected objects: {:#?}",
        left.symmetric_difference(&remaining).collect::<Vec<_>>()
    );
}

//! The rights of the chart's ServiceAccounts, tested with every verb on every kind.

use std::collections::BTreeSet;

use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::super::harness::{Cluster, cluster, eventually};
use super::{NODES, helm, render::objects};

/// Group, version, kind, plural, namespaced, has a status subresource.
const KINDS: [(&str, &str, &str, &str, bool, bool); 24] = [
    ("maglev.vpp.io", "v1alpha1", "HealthCheck", "healthchecks", true, true),
    ("maglev.vpp.io", "v1alpha1", "Backend", "backends", true, true),
    ("maglev.vpp.io", "v1alpha1", "Frontend", "frontends", true, true),
    ("maglev.vpp.io", "v1alpha1", "LoadBalancerConfig", "loadbalancerconfigs", false, true),
    ("maglev.vpp.io", "v1alpha1", "AddressPolicy", "addresspolicies", false, true),
    ("maglev.vpp.io", "v1alpha1", "MaglevNode", "maglevnodes", false, true),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false, true),
    ("", "v1", "Node", "nodes", false, true),
    ("", "v1", "Namespace", "namespaces", false, true),
    ("", "v1", "Pod", "pods", true, true),
    ("", "v1", "Secret", "secrets", true, false),
    ("", "v1", "ConfigMap", "configmaps", true, false),
    ("", "v1", "Event", "events", true, false),
    ("", "v1", "Service", "services", true, true),
    ("", "v1", "ServiceAccount", "serviceaccounts", true, false),
    ("apps", "v1", "DaemonSet", "daemonsets", true, true),
    ("apps", "v1", "Deployment", "deployments", true, true),
    ("events.k8s.io", "v1", "Event", "events", true, false),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", true, false),
    ("coordination.k8s.io", "v1", "Lease", "leases", true, false),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", true, false),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", true, false),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", false, false),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", false, false),
];

const CUSTOM_RESOURCES: [&str; 6] =
    ["healthchecks", "backends", "frontends", "loadbalancerconfigs", "addresspolicies", "maglevnodes"];

/// Creates a namespace with the chart's roles and ServiceAccount of one component.
async fn install_rights(cluster: &Cluster, component: &str, more: &str) -> String {
    let namespace = cluster.namespace(&format!("{component}-rights")).await;
    let more = format!("{NODES},{}", more.replace("OWN", &namespace));
    let args = ["template", "maglev", "charts/maglev", "--namespace", &namespace, "--set", &more];
    let only = ["rbac", "serviceaccount"].map(|file| format!("templates/{component}/{file}.yaml"));
    let only = ["--show-only", &only[0], "--show-only", &only[1]];
    let rights = helm(cluster, &[&args[..], &only].concat()).await.unwrap();
    cluster.apply(&namespace, &rights).await.unwrap();
    namespace
}

/// A kind, and the client of an account.
struct KindAccess {
    api: Api<DynamicObject>,
    resource: ApiResource,
    has_status: bool,
}

impl KindAccess {
    /// The verbs that are not refused. Each is tested with a dry run; the API server checks RBAC before it checks that
    /// the object exists and is valid.
    async fn allowed_verbs(&self) -> BTreeSet<&'static str> {
        let Self { api, resource, has_status } = self;
        let (post, delete) = (PostParams { dry_run: true, ..PostParams::default() }, DeleteParams::default().dry_run());
        let (patch, apply) = (PatchParams::default().dry_run(), PatchParams::apply("t").force().dry_run());
        let mut object = DynamicObject::new("mine", resource).data(json!({ "spec": {} }));
        let merge = Patch::Merge(json!({ "metadata": { "labels": { "mine": "yes" } } }));
        let mut results = vec![
            ("get", api.get("mine").await.map(drop)),
            ("list", api.list(&ListParams::default()).await.map(drop)),
            ("create", api.create(&post, &object).await.map(drop)),
            ("patch", api.patch("mine", &patch, &merge).await.map(drop)),
            ("apply", api.patch("mine", &apply, &Patch::Apply(&object)).await.map(drop)),
            ("delete", api.delete("mine", &delete).await.map(drop)),
            ("deletecollection", api.delete_collection(&delete, &ListParams::default()).await.map(drop)),
        ];
        object.metadata.resource_version = Some("1".into());
        results.push(("update", api.replace("mine", &post, &object).await.map(drop)));
        if *has_status {
            let status = Patch::Merge(json!({ "status": {} }));
            results.push(("patch status", api.patch_status("mine", &patch, &status).await.map(drop)));
            results.push(("update status", api.replace_status("mine", &post, &object).await.map(drop)));
        }
        let is_refused =
            |result: &kube::Result<()>| matches!(result, Err(kube::Error::Api(status)) if status.code == 403);
        results.into_iter().filter(|(_, result)| !is_refused(result)).map(|(verb, _)| verb).collect()
    }
}

/// The rights of an account of `namespace` in the namespace `target`, as `verb plural.group`.
async fn rights(cluster: &Cluster, namespace: &str, account: &str, target: &str) -> BTreeSet<String> {
    let client = cluster.client_as(namespace, account).await;
    let mut rights = BTreeSet::new();
    for (group, version, kind, plural, namespaced, has_status) in KINDS {
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let api = match namespaced {
            true => Api::namespaced_with(client.clone(), target, &resource),
            false => Api::all_with(client.clone(), &resource),
        };
        let name = format!("{plural}.{group}").trim_end_matches('.').to_owned();
        let allowed = KindAccess { api, resource, has_status }.allowed_verbs().await;
        rights.extend(allowed.into_iter().map(|verb| format!("{verb} {name}")));
    }
    rights
}

/// The rights to read these custom resources.
fn read_rights(plurals: &[&str]) -> BTreeSet<String> {
    plurals.iter().map(|plural| format!("list {plural}.maglev.vpp.io")).collect()
}

fn and(rights: BTreeSet<String>, more: &[&str]) -> BTreeSet<String> {
    rights.into_iter().chain(more.iter().map(|right| (*right).to_owned())).collect()
}

/// Checks the account's rights in its own namespace and in another one, once the API server has applied the roles.
async fn assert_rights(component: &str, account: &str, own: BTreeSet<String>, elsewhere: BTreeSet<String>) {
    assert_rights_with("crds.install=false", component, account, own, elsewhere).await;
}

/// The same for a release with these values.
async fn assert_rights_with(
    values: &str,
    component: &str,
    account: &str,
    own: BTreeSet<String>,
    elsewhere: BTreeSet<String>,
) {
    let cluster = cluster().await;
    let namespace = install_rights(cluster, component, values).await;
    // Roles and bindings take effect one by one: missing rights may still appear, but excessive rights do not
    // disappear.
    eventually(&format!("{account} has its rights"), async || {
        let current = rights(cluster, &namespace, account, &namespace).await;
        own.is_subset(&current).then_some(())
    })
    .await;
    assert_eq!(rights(cluster, &namespace, account, &namespace).await, own, "rights of {account} in its namespace");
    assert_eq!(
        rights(cluster, &namespace, account, "default").await,
        elsewhere,
        "rights of {account} in another namespace"
    );
}

/// The rights of agents. None of them writes.
fn agent_rights(services: &[&str]) -> BTreeSet<String> {
    let expected = and(and(read_rights(&CUSTOM_RESOURCES), &["list nodes", "list namespaces"]), services);
    assert!(expected.iter().all(|right| right.starts_with("list ")), "{expected:?}");
    expected
}

/// The rights of the controller in every namespace.
fn controller_rights(services: &[&str]) -> BTreeSet<String> {
    let status = CUSTOM_RESOURCES.map(|plural| format!("patch status {plural}.maglev.vpp.io"));
    let status: Vec<&str> = status.iter().map(String::as_str).collect();
    let nodes = ["create", "patch", "apply", "delete"].map(|verb| format!("{verb} maglevnodes.maglev.vpp.io"));
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    let events = ["create events.events.k8s.io", "patch events.events.k8s.io", "apply events.events.k8s.io"];
    let everywhere = and(and(read_rights(&CUSTOM_RESOURCES), &status), &nodes);
    and(and(and(everywhere, &events), &["list nodes", "list namespaces"]), services)
}

/// The right to update the Lease is limited to its name, which differs from that of the tested requests.
const CONTROLLER_OWN: [&str; 2] = ["list pods", "create leases.coordination.k8s.io"];
const WITHOUT_SERVICES: &str = "services.enabled=false,crds.install=false";

#[tokio::test]
async fn agent_account_has_no_write_rights() {
    let expected = agent_rights(&["list endpointslices.discovery.k8s.io"]);
    assert_rights("agent", "maglevd", expected.clone(), expected).await;
}

#[tokio::test]
async fn controller_account_writes_only_status_of_users_objects() {
    let everywhere = controller_rights(&[
        "list endpointslices.discovery.k8s.io",
        "list services",
        "patch status services",
        "create frontends.maglev.vpp.io",
        "patch frontends.maglev.vpp.io",
        "apply frontends.maglev.vpp.io",
        "delete frontends.maglev.vpp.io",
    ]);
    assert_rights("controller", "maglev-controller", and(everywhere.clone(), &CONTROLLER_OWN), everywhere).await;
}

#[tokio::test]
async fn without_services_accounts_have_none_of_their_rights() {
    let agent = agent_rights(&[]);
    assert_rights_with(WITHOUT_SERVICES, "agent", "maglevd", agent.clone(), agent).await;
    let everywhere = controller_rights(&[]);
    let own = and(everywhere.clone(), &CONTROLLER_OWN);
    assert_rights_with(WITHOUT_SERVICES, "controller", "maglev-controller", own, everywhere).await;
    let own = and(read_rights(&CUSTOM_RESOURCES), &["list pods"]);
    let elsewhere = read_rights(&CUSTOM_RESOURCES);
    assert_rights_with(WITHOUT_SERVICES, "dashboard", "maglev-frontend", own, elsewhere).await;
}

#[tokio::test]
async fn dashboard_account_only_reads() {
    let own = and(read_rights(&CUSTOM_RESOURCES), &["list pods"]);
    assert_rights("dashboard", "maglev-frontend", own, read_rights(&CUSTOM_RESOURCES)).await;
}

/// True if `account` has a right in `namespace`. `resource` has the form `plural.group`, followed by `/SUBRESOURCE` or
/// by `:NAME` of one object.
async fn can_i(cluster: &Cluster, account: &str, verb: &str, resource: &str, namespace: &str) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (resource, subresource) = (resource.replace(':', "/"), format!("--subresource={subresource}"));
    let args = ["auth", "can-i", verb, &resource, &subresource, "--as", account, "-n", namespace];
    String::from_utf8(cluster.kubectl_with(&args, "").await.stdout).unwrap().trim() == "yes"
}

/// A verb, a resource as in `can_i`, and true if the account has the right.
type Expectation<'e> = (&'e str, &'e str, bool);

/// Checks single rights of a component's account in the namespace of the release. Returns the user name.
async fn assert_can_i(component: &str, account: &str, values: &str, expectations: &[Expectation<'_>]) -> String {
    let cluster = cluster().await;
    let namespace = install_rights(cluster, component, values).await;
    let account = format!("system:serviceaccount:{namespace}:{account}");
    for (verb, resource, allowed) in expectations {
        let matches = async || (can_i(cluster, &account, verb, resource, &namespace).await == *allowed).then_some(());
        eventually(&format!("{account} can {verb} {resource}: {allowed}"), matches).await;
    }
    account
}

#[tokio::test]
async fn agents_rights_to_single_objects_are_narrow() {
    let certificates = "agent.rbac.certificates[0].namespace=OWN,agent.rbac.certificates[0].secrets={client},\
                        agent.rbac.certificates[0].configMaps={authorities},crds.install=false";
    let expectations = [
        ("get", "secrets:client", true),
        ("get", "configmaps:authorities", true),
        ("get", "customresourcedefinitions.apiextensions.k8s.io:frontends.maglev.vpp.io", true),
        ("get", "secrets:other", false),
        ("list", "secrets", false),
        ("get", "customresourcedefinitions.apiextensions.k8s.io:other", false),
        ("get", "customresourcedefinitions.apiextensions.k8s.io:maglevnodes.maglev.vpp.io", false),
        ("watch", "maglevnodes.maglev.vpp.io", true),
        ("get", "maglevnodes.maglev.vpp.io", false),
        ("patch", "maglevnodes.maglev.vpp.io", false),
        ("get", "customresourcedefinitions.apiextensions.k8s.io:addresspolicies.maglev.vpp.io", true),
        ("watch", "addresspolicies.maglev.vpp.io", true),
        ("patch", "addresspolicies.maglev.vpp.io", false),
        ("watch", "namespaces", true),
        ("get", "namespaces", false),
        ("watch", "endpointslices.discovery.k8s.io", true),
        ("get", "endpointslices.discovery.k8s.io", false),
        ("patch", "endpointslices.discovery.k8s.io", false),
    ];
    let account = assert_can_i("agent", "maglevd", certificates, &expectations).await;
    // The names apply to the namespaces of the values only.
    for resource in ["secrets:client", "configmaps:authorities"] {
        let elsewhere = can_i(cluster().await, &account, "get", resource, "default").await;
        assert!(!elsewhere, "{resource} in another namespace");
    }
}

/// Removes the list at `pointer` and returns its items.
fn take_list(object: &mut Value, pointer: &str) -> Vec<Value> {
    object.pointer_mut(pointer).and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default()
}

#[tokio::test]
async fn services_add_only_their_rules_and_flags_to_the_chart() {
    const FLAG: [&str; 1] = ["--services"];
    const SLICES: [&str; 1] = ["discovery.k8s.io endpointslices: list watch"];
    const CONTROLLER: [&str; 4] = [
        "discovery.k8s.io endpointslices: list watch",
        " services: list watch",
        " services/status: patch",
        "maglev.vpp.io frontends: create patch delete",
    ];
    let cluster = cluster().await;
    let mut with = objects(cluster, &["services.enabled=true"]).await;
    let mut without = objects(cluster, &["services.enabled=false"]).await;
    assert!(with.keys().eq(without.keys()));
    let words =
        |value: &Value| value.as_array().unwrap().iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
    let rule =
        |rule: Value| format!("{} {}: {}", words(&rule["apiGroups"]), words(&rule["resources"]), words(&rule["verbs"]));
    for (name, list, added) in [
        ("ClusterRole/maglev-system:maglevd", "/rules", &SLICES[..]),
        ("ClusterRole/maglev-system:maglev-controller", "/rules", &CONTROLLER[..]),
        ("DaemonSet/maglevd", "/spec/template/spec/containers/0/args", &FLAG[..]),
        ("Deployment/maglev-controller", "/spec/template/spec/containers/0/args", &FLAG[..]),
    ] {
        let (mut more, less) =
            (take_list(with.get_mut(name).unwrap(), list), take_list(without.get_mut(name).unwrap(), list));
        assert!(!less.is_empty() && less.iter().all(|item| more.contains(item)), "{name}: {less:?}");
        more.retain(|item| !less.contains(item));
        let text = |item: Value| item.as_str().map_or_else(|| rule(item.clone()), str::to_owned);
        assert_eq!(more.into_iter().map(text).collect::<Vec<_>>(), added, "{name}");
    }
    // Changed rules restart the controller.
    let checksum = "/spec/template/metadata/annotations/checksum~1rbac";
    let [with_rules, without_rules] = [&mut with, &mut without].map(|objects| {
        let deployment = objects.get_mut("Deployment/maglev-controller").unwrap();
        deployment.pointer_mut(checksum).unwrap().take()
    });
    assert_ne!(with_rules, without_rules);
    assert_eq!(with, without, "nothing else differs");
}

#[tokio::test]
async fn no_rule_of_agents_has_a_write_verb() {
    for values in ["services.enabled=true", "services.enabled=false"] {
        let rendered = objects(cluster().await, &[values]).await;
        let bindings = rendered.values().filter(|object| object.get("roleRef").is_some());
        let of_agent = bindings.filter(|binding| binding["subjects"].to_string().contains("\"maglevd\""));
        let roles: Vec<String> = of_agent
            .map(|binding| {
                let role = |field: &str| binding["roleRef"][field].as_str().unwrap().to_owned();
                format!("{}/{}", role("kind"), role("name"))
            })
            .collect();
        assert_eq!(roles, ["ClusterRole/maglev-system:maglevd"], "{values}");
        let verbs = rendered[&roles[0]]["rules"].as_array().unwrap().iter().flat_map(|rule| rule["verbs"].as_array());
        let verbs: BTreeSet<&str> = verbs.flatten().filter_map(Value::as_str).collect();
        assert_eq!(verbs, BTreeSet::from(["get", "list", "watch"]), "{values}");
    }
}

#[tokio::test]
async fn without_services_nobody_reads_endpoint_slices() {
    for (component, account) in [("agent", "maglevd"), ("controller", "maglev-controller")] {
        let values = WITHOUT_SERVICES;
        let expectations = [
            ("watch", "frontends.maglev.vpp.io", true),
            ("list", "endpointslices.discovery.k8s.io", false),
            ("watch", "endpointslices.discovery.k8s.io", false),
        ];
        assert_can_i(component, account, values, &expectations).await;
    }
}

#[tokio::test]
async fn without_services_the_controller_writes_no_frontends_and_reads_no_services() {
    let expectations = [
        ("patch", "frontends.maglev.vpp.io/status", true),
        ("create", "frontends.maglev.vpp.io", false),
        ("patch", "frontends.maglev.vpp.io", false),
        ("delete", "frontends.maglev.vpp.io", false),
        ("list", "services", false),
        ("patch", "services/status", false),
    ];
    assert_can_i("controller", "maglev-controller", WITHOUT_SERVICES, &expectations).await;
}

#[tokio::test]
async fn controllers_rights_to_single_objects_and_subresources_are_narrow() {
    let expectations = [
        ("update", "leases.coordination.k8s.io:maglev-controller", true),
        ("update", "leases.coordination.k8s.io:other", false),
        ("update", "secrets:maglev-ca", true),
        ("update", "secrets:maglevd-tls", true),
        ("update", "configmaps:maglev-ca", true),
        ("get", "secrets:other", false),
        ("create", "secrets", false),
        ("delete", "secrets:maglev-ca", false),
        ("patch", "secrets:maglev-ca", false),
        ("list", "secrets", false),
        ("create", "pods/portforward", false),
        ("create", "pods/exec", false),
        ("create", "serviceaccounts/token", false),
        ("update", "frontends.maglev.vpp.io/finalizers", false),
        ("patch", "addresspolicies.maglev.vpp.io", false),
    ];
    assert_can_i("controller", "maglev-controller", "crds.install=false", &expectations).await;
}

#[tokio::test]
async fn dashboards_rights_to_subresources_are_narrow() {
    let expectations = [
        ("watch", "frontends.maglev.vpp.io", true),
        ("watch", "pods", true),
        ("get", "pods/log", false),
        ("create", "pods/portforward", false),
        ("create", "pods/exec", false),
        ("create", "serviceaccounts/token", false),
    ];
    assert_can_i("dashboard", "maglev-frontend", "crds.install=false", &expectations).await;
}

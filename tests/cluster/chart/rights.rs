//! What each ServiceAccount of the chart may do, found out by asking for everything: what it must not do is all the rest.

use std::collections::BTreeSet;

use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;

use super::super::harness::{Cluster, cluster, eventually};
use super::helm;

/// (group, version, kind, plural, namespaced, a subresource people forget)
const KINDS: [(&str, &str, &str, &str, bool, bool); 22] = [
    ("maglev.vpp.io", "v1alpha1", "HealthCheck", "healthchecks", true, true),
    ("maglev.vpp.io", "v1alpha1", "Backend", "backends", true, true),
    ("maglev.vpp.io", "v1alpha1", "Frontend", "frontends", true, true),
    ("maglev.vpp.io", "v1alpha1", "LoadBalancerConfig", "loadbalancerconfigs", false, true),
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
    ("coordination.k8s.io", "v1", "Lease", "leases", true, false),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", true, false),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", true, false),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", false, false),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", false, false),
];

const OURS: [&str; 5] = ["healthchecks", "backends", "frontends", "loadbalancerconfigs", "maglevnodes"];

/// A namespace with the chart's roles and ServiceAccount of one component.
async fn install_rights(cluster: &Cluster, component: &str, more: &str) -> String {
    let namespace = cluster.namespace(&format!("{component}-rights")).await;
    let args = ["template", "maglev", "charts/maglev", "--namespace", &namespace, "--set", more];
    let only = ["rbac", "serviceaccount"].map(|file| format!("templates/{component}/{file}.yaml"));
    let only = ["--show-only", &only[0], "--show-only", &only[1]];
    let rights = helm(cluster, &[&args[..], &only].concat()).await.unwrap();
    cluster.apply(&namespace, &rights).await.unwrap();
    namespace
}

/// One kind as one account sees it.
struct Asked {
    api: Api<DynamicObject>,
    resource: ApiResource,
    has_status: bool,
}

impl Asked {
    /// Every verb, each asked for with a real request that would change nothing if it were allowed; those that are not
    /// refused. RBAC is asked before anybody looks whether the object exists or is valid.
    async fn allowed(&self) -> BTreeSet<&'static str> {
        let Self { api, resource, has_status } = self;
        let (post, delete) = (PostParams { dry_run: true, ..PostParams::default() }, DeleteParams::default().dry_run());
        let (patch, apply) = (PatchParams::default().dry_run(), PatchParams::apply("t").force().dry_run());
        let mut object = DynamicObject::new("mine", resource).data(json!({ "spec": {} }));
        let merge = Patch::Merge(json!({ "metadata": { "labels": { "mine": "yes" } } }));
        let mut answers = vec![
            ("get", api.get("mine").await.map(drop)),
            ("list", api.list(&ListParams::default()).await.map(drop)),
            ("create", api.create(&post, &object).await.map(drop)),
            ("patch", api.patch("mine", &patch, &merge).await.map(drop)),
            ("apply", api.patch("mine", &apply, &Patch::Apply(&object)).await.map(drop)),
            ("delete", api.delete("mine", &delete).await.map(drop)),
            ("deletecollection", api.delete_collection(&delete, &ListParams::default()).await.map(drop)),
        ];
        object.metadata.resource_version = Some("1".into());
        answers.push(("update", api.replace("mine", &post, &object).await.map(drop)));
        if *has_status {
            let status = Patch::Merge(json!({ "status": {} }));
            answers.push(("patch status", api.patch_status("mine", &patch, &status).await.map(drop)));
            answers.push(("update status", api.replace_status("mine", &post, &object).await.map(drop)));
        }
        let refused = |answer: &kube::Result<()>| matches!(answer, Err(kube::Error::Api(status)) if status.code == 403);
        answers.into_iter().filter(|(_, answer)| !refused(answer)).map(|(verb, _)| verb).collect()
    }
}

/// Everything that the account may do in the namespace `of`, as `verb plural.group`.
async fn rights(cluster: &Cluster, namespace: &str, account: &str, of: &str) -> BTreeSet<String> {
    let client = cluster.client_as(namespace, account).await;
    let mut found = BTreeSet::new();
    for (group, version, kind, plural, namespaced, has_status) in KINDS {
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let api = match namespaced {
            true => Api::namespaced_with(client.clone(), of, &resource),
            false => Api::all_with(client.clone(), &resource),
        };
        let name = format!("{plural}.{group}").trim_end_matches('.').to_owned();
        let allowed = Asked { api, resource, has_status }.allowed().await;
        found.extend(allowed.into_iter().map(|verb| format!("{verb} {name}")));
    }
    found
}

/// What reads all of `plurals` of our kinds.
fn reads(plurals: &[&str]) -> BTreeSet<String> {
    let of = |plural: &&str| ["get", "list"].map(|verb| format!("{verb} {plural}.maglev.vpp.io"));
    plurals.iter().flat_map(of).collect()
}

/// These and those.
fn and(these: BTreeSet<String>, those: &[&str]) -> BTreeSet<String> {
    these.into_iter().chain(those.iter().map(|of| (*of).to_owned())).collect()
}

/// Waits until the API server has seen the roles, then asks in the account's own namespace and in another one.
async fn assert_rights(component: &str, account: &str, own: BTreeSet<String>, elsewhere: BTreeSet<String>) {
    let cluster = cluster().await;
    let namespace = install_rights(cluster, component, "crds.install=false").await;
    // Roles and bindings are seen one by one: what is missing at first may still come, what is too much stays.
    eventually(&format!("{account} has its rights"), async || {
        let have = rights(cluster, &namespace, account, &namespace).await;
        own.is_subset(&have).then_some(())
    })
    .await;
    assert_eq!(rights(cluster, &namespace, account, &namespace).await, own, "{account} in its namespace");
    assert_eq!(rights(cluster, &namespace, account, "default").await, elsewhere, "{account} elsewhere");
}

#[tokio::test]
async fn the_agents_own_service_account_is_refused_every_write() {
    let reads = and(reads(&OURS), &["get nodes", "list nodes"]);
    assert_rights("agent", "maglevd", reads.clone(), reads).await;
}

#[tokio::test]
async fn the_controllers_own_service_account_may_write_status_and_nothing_else_of_what_people_write() {
    let status = OURS.map(|plural| format!("patch status {plural}.maglev.vpp.io"));
    let status: Vec<&str> = status.iter().map(String::as_str).collect();
    let nodes = ["create", "patch", "apply", "delete"].map(|verb| format!("{verb} maglevnodes.maglev.vpp.io"));
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    let events = ["create events.events.k8s.io", "patch events.events.k8s.io", "apply events.events.k8s.io"];
    let everywhere = and(and(reads(&OURS), &status), &nodes);
    let everywhere = and(and(everywhere, &events), &["get nodes", "list nodes"]);
    // Its own Lease has another name than the one that is asked for here.
    let own = and(everywhere.clone(), &["get pods", "list pods", "create leases.coordination.k8s.io"]);
    assert_rights("controller", "maglev-controller", own, everywhere).await;
}

#[tokio::test]
async fn the_dashboards_own_service_account_may_read_what_it_shows_and_nothing_else() {
    let own = and(reads(&OURS), &["get pods", "list pods"]);
    assert_rights("dashboard", "maglev-frontend", own, reads(&OURS)).await;
}

/// Whether `account` may do that in the namespace `of`. What follows a slash in `resource` is a subresource, what follows
/// a colon the name of one object.
async fn may(cluster: &Cluster, account: &str, verb: &str, resource: &str, of: &str) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (resource, subresource) = (resource.replace(':', "/"), format!("--subresource={subresource}"));
    let args = ["auth", "can-i", verb, &resource, &subresource, "--as", account, "-n", of];
    String::from_utf8(cluster.kubectl_with(&args, "").await.stdout).unwrap().trim() == "yes"
}

#[tokio::test]
async fn rights_to_one_object_or_to_a_subresource_are_as_narrow_as_they_can_be() {
    let cluster = cluster().await;
    let certificates = "agent.rbac.secretNames={client},agent.rbac.configMapNames={authorities},crds.install=false";
    for (component, account, more, asked) in [
        (
            "agent",
            "maglevd",
            certificates,
            &[
                ("get", "secrets:client", true),
                ("get", "configmaps:authorities", true),
                ("get", "customresourcedefinitions.apiextensions.k8s.io:frontends.maglev.vpp.io", true),
                ("get", "secrets:other", false),
                ("list", "secrets", false),
                ("get", "customresourcedefinitions.apiextensions.k8s.io:other", false),
            ][..],
        ),
        (
            "controller",
            "maglev-controller",
            "crds.install=false",
            &[
                ("update", "leases.coordination.k8s.io:maglev-controller", true),
                ("update", "leases.coordination.k8s.io:other", false),
                ("create", "pods/portforward", false),
                ("create", "pods/exec", false),
                ("create", "serviceaccounts/token", false),
                ("update", "frontends.maglev.vpp.io/finalizers", false),
            ],
        ),
        (
            "dashboard",
            "maglev-frontend",
            "crds.install=false",
            &[
                ("watch", "frontends.maglev.vpp.io", true),
                ("watch", "pods", true),
                ("get", "pods/log", false),
                ("create", "pods/portforward", false),
                ("create", "pods/exec", false),
                ("create", "serviceaccounts/token", false),
            ],
        ),
    ] {
        let namespace = install_rights(cluster, component, more).await;
        let account = format!("system:serviceaccount:{namespace}:{account}");
        for (verb, resource, wanted) in asked {
            let is_so = async || (may(cluster, &account, verb, resource, &namespace).await == *wanted).then_some(());
            eventually(&format!("{account}: {verb} {resource} is {wanted}"), is_so).await;
        }
    }
}

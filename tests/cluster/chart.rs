//! The chart: what helm makes of it, and that the agent's own ServiceAccount can change nothing.

use std::fs;
use std::path::Path;

use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use maglev::sandbox::assets::Tool;
use serde_json::json;

use super::harness::{Cluster, cluster, eventually, root, run};

async fn helm(cluster: &Cluster, args: &[&str]) -> Result<String, String> {
    let output = run(cluster.tool(Tool::Helm).args(args), "").await;
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    if output.status.success() { Ok(stdout) } else { Err(stdout + &stderr) }
}

pub(super) async fn template(cluster: &Cluster, release: &str, more: &[&str]) -> Result<String, String> {
    let args = ["template", release, "charts/maglev", "--namespace", "maglev-system"];
    helm(cluster, &[&args, more].concat()).await
}

#[tokio::test]
async fn it_passes_the_linter() {
    let report = helm(cluster().await, &["lint", "--strict", "charts/maglev"]).await.unwrap();
    assert!(report.contains("0 chart(s) failed"), "{report}");
}

#[tokio::test]
async fn it_renders_what_was_reviewed() {
    // The CRDs have a test of their own.
    let rendered = template(cluster().await, "maglev", &["--set", "crds.install=false"]).await.unwrap();
    let path = root().join("tests/cluster/golden/chart.yaml");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &rendered).unwrap();
    }
    let reviewed = fs::read_to_string(&path).unwrap();
    assert_eq!(rendered, reviewed, "the chart's output changed: review it, then run with UPDATE_GOLDEN=1");
}

#[tokio::test]
async fn every_value_reaches_the_pods() {
    let set = [
        "agent.grpc.portForward=false".to_owned(),
        "allowLoopback=true,agent.log.format=json,agent.log.level=debug,agent.vpp.runDirectory=/srv/vpp".to_owned(),
        "agent.image.registry=registry.example,agent.image.digest=sha256:".to_owned() + &"a".repeat(64),
        "agent.extraArgs={--one,--two},agent.extraEnv[0].name=THREE,agent.extraEnv[0].value=drei".to_owned(),
        "agent.nodeSelector.role=lb,agent.minReadySeconds=7,agent.podLabels.team=net,commonLabels.cost=shared"
            .to_owned(),
        "agent.rbac.secretNames={client-certificate},agent.rbac.configMapNames={authorities}".to_owned(),
        "dashboard.portForward=false,dashboard.replicas=2,dashboard.log.level=warn,dashboard.service.port=8000"
            .to_owned(),
        "dashboard.extraArgs={--three},dashboard.podLabels.team=web,dashboard.service.type=NodePort".to_owned(),
        "dashboard.auth.allowAnonymous=true,dashboard.ingress.enabled=true,dashboard.ingress.host=lb.example"
            .to_owned(),
        "dashboard.ingress.path=/lb,dashboard.ingress.className=nginx".to_owned(),
    ];
    let set: Vec<&str> = set.iter().flat_map(|values| ["--set", values.as_str()]).collect();
    let rendered = template(cluster().await, "maglev", &set).await.unwrap();
    for wanted in [
        "- --allow-loopback",
        "- --grpc-addr=$(POD_IP):9090\n",
        "- --log-format=json",
        "- --log-level=debug",
        "- --vpp-api-socket=/srv/vpp/api.sock",
        "path: /srv/vpp\n",
        "mountPath: /srv/vpp\n",
        "image: registry.example/maglev@sha256:aaaa",
        "- --one\n            - --two",
        "value: drei",
        "nodeSelector:\n        role: lb",
        "minReadySeconds: 7",
        "team: net",
        "cost: shared",
        "resourceNames:\n      - client-certificate",
        "resourceNames:\n      - authorities",
        "- --http-addr=$(POD_IP):8080\n",
        "replicas: 2\n",
        "- --log-level=warn",
        "port: 8000\n      targetPort: http",
        "type: NodePort",
        "- --three",
        "team: web",
        "host: \"lb.example\"",
        "path: /lb\n            pathType: Prefix",
        "ingressClassName: nginx",
    ] {
        assert!(rendered.contains(wanted), "{wanted:?} is not in\n{rendered}");
    }
}

#[tokio::test]
async fn the_dashboard_is_let_out_only_by_who_says_that_anybody_may_look() {
    let cluster = cluster().await;
    let anybody = "dashboard.auth.allowAnonymous=true";
    let ingress = "dashboard.ingress.enabled=true";
    let refused = template(cluster, "maglev", &["--set", ingress]).await.unwrap_err();
    assert!(refused.contains("asks nobody who they are"), "{refused}");
    let without = template(cluster, "maglev", &["--set", anybody]).await.unwrap();
    assert!(!without.contains("kind: Ingress"), "{without}");
    let with = template(cluster, "maglev", &["--set", anybody, "--set", ingress]).await.unwrap();
    assert!(with.contains("kind: Ingress\nmetadata:\n  name: maglev-frontend\n"), "{with}");
    let none = template(cluster, "maglev", &["--set", "dashboard.enabled=false"]).await.unwrap();
    assert!(!none.contains("maglev-frontend"), "{none}");
}

#[tokio::test]
async fn only_an_agent_that_enters_a_namespace_may_do_so() {
    let cluster = cluster().await;
    let parts = [
        "- --probe-network-namespace=dataplane",
        "add: [NET_RAW, SYS_ADMIN]",
        "mountPath: /run/netns\n              readOnly: true\n",
        "mountPropagation: HostToContainer",
        "path: /run/netns\n            type: Directory\n",
    ];
    let with = template(cluster, "maglev", &["--set", "agent.probeNetworkNamespace=dataplane"]).await.unwrap();
    let without = template(cluster, "maglev", &[]).await.unwrap();
    for part in parts {
        assert!(with.contains(part), "{part:?} is not in\n{with}");
        assert!(!without.contains(part), "{part:?} is in\n{without}");
    }
    assert!(without.contains("add: [NET_RAW]"));
    let path = template(cluster, "maglev", &["--set", "agent.probeNetworkNamespace=/proc/1/ns/net"]).await;
    assert!(path.unwrap_err().contains("probeNetworkNamespace"), "a path would not be mounted");
}

#[tokio::test]
async fn the_daemonset_is_named_after_the_release() {
    for (release, more, name) in [
        ("maglev", "nameOverride=", "maglevd"),
        ("prod", "nameOverride=", "prod-maglevd"),
        ("prod", "fullnameOverride=lb", "lb-maglevd"),
        ("maglev-blue", "nameOverride=", "maglev-blue-maglevd"),
    ] {
        let rendered = template(cluster().await, release, &["--set", more]).await.unwrap();
        assert!(rendered.contains(&format!("kind: DaemonSet\nmetadata:\n  name: {name}\n")), "{release} {more}");
    }
}

#[tokio::test]
async fn a_value_that_does_not_exist_is_refused() {
    for (wrong, named) in [("agent.tolerance=1", "tolerance"), ("agent.log.format=xml", "format")] {
        let refused = template(cluster().await, "maglev", &["--set", wrong]).await.unwrap_err();
        assert!(refused.contains(named), "{refused}");
    }
}

#[tokio::test]
async fn its_crds_are_those_of_the_checkout_and_survive_an_uninstall() {
    let files = |dir: &Path| {
        let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        files.sort();
        files
    };
    let (committed, copied) = (root().join("crds"), root().join("charts/maglev/files/crds"));
    assert_eq!(files(&committed), files(&copied), "run make crds");
    for file in files(&committed) {
        let [committed, copied] = [&committed, &copied].map(|dir| fs::read_to_string(dir.join(&file)).unwrap());
        assert_eq!(committed, copied, "{} is not current: run make crds", file.display());
    }
    let rendered = template(cluster().await, "maglev", &[]).await.unwrap();
    assert_eq!(rendered.matches("kind: CustomResourceDefinition").count(), 5);
    assert_eq!(rendered.matches("helm.sh/resource-policy: keep").count(), 5);
    let rendered = template(cluster().await, "maglev", &["--set", "crds.keep=false"]).await.unwrap();
    assert_eq!(rendered.matches("helm.sh/resource-policy: keep").count(), 0);
}

#[tokio::test]
async fn the_api_server_takes_all_of_it_without_a_warning() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("chart").await;
    for more in ["agent.probeNetworkNamespace=", "agent.probeNetworkNamespace=dataplane"] {
        let args = ["template", "maglev", "charts/maglev", "--namespace", &namespace, "--set", more];
        let rendered = helm(cluster, &args).await.unwrap();
        let dry_run = ["apply", "--server-side", "--dry-run=server", "--force-conflicts", "-n", &namespace, "-f", "-"];
        let output = cluster.kubectl_with(&dry_run, &rendered).await;
        let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert!(output.status.success(), "{stderr}");
        assert!(!stderr.contains("Warning"), "{stderr}");
        assert!(stdout.contains("daemonset.apps/maglevd"), "{stdout}");
    }
}

/// (group, version, kind, plural, namespaced, a subresource people forget)
const KINDS: [(&str, &str, &str, &str, bool, bool); 12] = [
    ("maglev.vpp.io", "v1alpha1", "HealthCheck", "healthchecks", true, true),
    ("maglev.vpp.io", "v1alpha1", "Backend", "backends", true, true),
    ("maglev.vpp.io", "v1alpha1", "Frontend", "frontends", true, true),
    ("maglev.vpp.io", "v1alpha1", "LoadBalancerConfig", "loadbalancerconfigs", false, true),
    ("maglev.vpp.io", "v1alpha1", "MaglevNode", "maglevnodes", false, true),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false, true),
    ("", "v1", "Node", "nodes", false, true),
    ("", "v1", "Pod", "pods", true, true),
    ("", "v1", "Secret", "secrets", true, false),
    ("", "v1", "ConfigMap", "configmaps", true, false),
    ("", "v1", "Event", "events", true, false),
    ("coordination.k8s.io", "v1", "Lease", "leases", true, false),
];

#[tokio::test]
async fn the_agents_own_service_account_is_refused_every_write() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("agent-rbac").await;
    let args = ["template", "maglev", "charts/maglev", "--namespace", &namespace, "--set", "crds.install=false"];
    let only = ["--show-only", "templates/agent/rbac.yaml", "--show-only", "templates/agent/serviceaccount.yaml"];
    let rbac = helm(cluster, &[&args[..], &only].concat()).await.unwrap();
    cluster.apply(&namespace, &rbac).await.unwrap();
    let agent = cluster.client_as(&namespace, "maglevd").await;

    for (group, version, kind, plural, namespaced, has_status) in KINDS {
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let api: Api<DynamicObject> = if namespaced {
            Api::namespaced_with(agent.clone(), &namespace, &resource)
        } else {
            Api::all_with(agent.clone(), &resource)
        };
        if group == "maglev.vpp.io" || kind == "Node" {
            eventually(&format!("it may list {plural}"), async || api.list(&ListParams::default()).await.ok()).await;
        }
        // RBAC is asked before anybody looks whether the object exists or is valid.
        let mut object = DynamicObject::new("mine", &resource).data(json!({ "spec": {} }));
        let merge = Patch::Merge(json!({ "metadata": { "labels": { "mine": "yes" } } }));
        let mut refusals = vec![
            ("create", api.create(&PostParams::default(), &object).await.map(drop)),
            ("patch", api.patch("mine", &PatchParams::default(), &merge).await.map(drop)),
            ("apply", api.patch("mine", &PatchParams::apply("t").force(), &Patch::Apply(&object)).await.map(drop)),
            ("delete", api.delete("mine", &DeleteParams::default()).await.map(drop)),
            ("deletecollection", {
                api.delete_collection(&DeleteParams::default(), &ListParams::default()).await.map(drop)
            }),
        ];
        object.metadata.resource_version = Some("1".into());
        refusals.push(("update", api.replace("mine", &PostParams::default(), &object).await.map(drop)));
        if has_status {
            let status = Patch::Merge(json!({ "status": {} }));
            let patched = api.patch_status("mine", &PatchParams::default(), &status).await;
            refusals.push(("patch status of", patched.map(drop)));
            let replaced = api.replace_status("mine", &PostParams::default(), &object).await;
            refusals.push(("update status of", replaced.map(drop)));
        }
        for (verb, answer) in refusals {
            let code = match &answer {
                Err(kube::Error::Api(status)) => status.code,
                _ => 0,
            };
            assert_eq!(code, 403, "{verb} {plural}: {answer:?}");
        }
    }
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
async fn the_controllers_own_service_account_may_write_status_and_nothing_else_of_what_people_write() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("controller-rbac").await;
    let args = ["template", "maglev", "charts/maglev", "--namespace", &namespace, "--set", "crds.install=false"];
    let only = ["rbac", "serviceaccount"].map(|file| format!("templates/controller/{file}.yaml"));
    let only = ["--show-only", &only[0], "--show-only", &only[1]];
    let rbac = helm(cluster, &[&args[..], &only].concat()).await.unwrap();
    cluster.apply(&namespace, &rbac).await.unwrap();
    let account = format!("system:serviceaccount:{namespace}:maglev-controller");
    let may = async |verb: &str, resource: &str, of: &str| may(cluster, &account, verb, resource, of).await;
    // The API server takes a moment to see roles and bindings, each of its own.
    for (resource, of) in [("healthchecks.maglev.vpp.io", "default"), ("pods", namespace.as_str())] {
        eventually(&format!("it may list {resource}"), async || may("list", resource, of).await.then_some(())).await;
    }
    let ours = ["healthchecks", "backends", "frontends", "loadbalancerconfigs", "maglevnodes"];
    for plural in ours.map(|plural| format!("{plural}.maglev.vpp.io")) {
        assert!(may("list", &plural, "default").await, "{plural}");
        assert!(may("patch", &format!("{plural}/status"), "default").await, "{plural}");
        for verb in ["create", "patch", "delete", "update", "deletecollection"] {
            let own = plural.starts_with("maglevnodes") && ["create", "patch", "delete"].contains(&verb);
            assert_eq!(may(verb, &plural, "default").await, own, "{verb} {plural}");
        }
    }
    for (verb, resource, of, allowed) in [
        ("create", "events.events.k8s.io", "default", true),
        ("list", "nodes", "default", true),
        ("patch", "nodes", "default", false),
        ("list", "pods", namespace.as_str(), true),
        ("list", "pods", "default", false),
        ("delete", "pods", namespace.as_str(), false),
        ("update", "leases.coordination.k8s.io:maglev-controller", namespace.as_str(), true),
        ("update", "leases.coordination.k8s.io:other", namespace.as_str(), false),
        ("get", "secrets", namespace.as_str(), false),
        ("get", "configmaps", namespace.as_str(), false),
        ("patch", "customresourcedefinitions.apiextensions.k8s.io", "default", false),
    ] {
        assert_eq!(may(verb, resource, of).await, allowed, "{verb} {resource} in {of}");
    }
}

#[tokio::test]
async fn the_dashboards_own_service_account_may_read_what_it_shows_and_nothing_else() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("dashboard-rbac").await;
    let args = ["template", "maglev", "charts/maglev", "--namespace", &namespace, "--set", "crds.install=false"];
    let only = ["rbac", "serviceaccount"].map(|file| format!("templates/dashboard/{file}.yaml"));
    let only = ["--show-only", &only[0], "--show-only", &only[1]];
    let rbac = helm(cluster, &[&args[..], &only].concat()).await.unwrap();
    cluster.apply(&namespace, &rbac).await.unwrap();
    let account = format!("system:serviceaccount:{namespace}:maglev-frontend");
    let may = async |verb: &str, resource: &str, of: &str| may(cluster, &account, verb, resource, of).await;
    // The API server takes a moment to see roles and bindings, each of its own.
    for (resource, of) in [("healthchecks.maglev.vpp.io", "default"), ("pods", namespace.as_str())] {
        eventually(&format!("it may list {resource}"), async || may("list", resource, of).await.then_some(())).await;
    }
    for plural in ["healthchecks", "backends", "frontends", "loadbalancerconfigs", "maglevnodes"] {
        let resource = format!("{plural}.maglev.vpp.io");
        assert!(may("watch", &resource, "default").await, "{plural}");
        for verb in ["create", "patch", "delete", "update", "deletecollection"] {
            assert!(!may(verb, &resource, "default").await, "{verb} {plural}");
        }
        assert!(!may("patch", &format!("{resource}/status"), "default").await, "{plural}");
    }
    for (verb, resource, of) in [
        ("list", "pods", "default"),
        ("delete", "pods", namespace.as_str()),
        ("create", "pods/portforward", namespace.as_str()),
        ("get", "pods/log", namespace.as_str()),
        ("get", "secrets", namespace.as_str()),
        ("get", "configmaps", namespace.as_str()),
        ("list", "nodes", "default"),
    ] {
        assert!(!may(verb, resource, of).await, "{verb} {resource} in {of}");
    }
}

//! The chart's rendered objects: the golden output of the defaults, and the effect of every value.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::super::harness::{Cluster, cluster, root};
use super::{NODES, helm, template};

#[tokio::test]
async fn chart_passes_helm_lint() {
    let report = helm(cluster().await, &["lint", "--strict", "charts/maglev", "--set", NODES]).await.unwrap();
    assert!(report.contains("0 chart(s) failed"), "{report}");
}

#[tokio::test]
async fn default_output_matches_the_golden_file() {
    // Another test compares the CRDs.
    let rendered = template(cluster().await, "maglev", &["--set", "crds.install=false"]).await.unwrap();
    let path = root().join("tests/cluster/golden/chart.yaml");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &rendered).unwrap();
    }
    let reviewed = fs::read_to_string(&path).unwrap();
    assert_eq!(rendered, reviewed, "the output differs from {}: review it, then run make golden", path.display());
}

#[tokio::test]
async fn dashboard_ingress_requires_allow_anonymous() {
    let cluster = cluster().await;
    let anonymous = "dashboard.auth.allowAnonymous=true";
    let ingress = "dashboard.ingress.enabled=true";
    let refused = template(cluster, "maglev", &["--set", ingress]).await.unwrap_err();
    assert!(refused.contains("requires no authentication"), "{refused}");
    let without = template(cluster, "maglev", &["--set", anonymous]).await.unwrap();
    assert!(!without.contains("kind: Ingress"), "{without}");
    let with = template(cluster, "maglev", &["--set", anonymous, "--set", ingress]).await.unwrap();
    assert!(with.contains("kind: Ingress\nmetadata:\n  name: maglev-frontend\n"), "{with}");
    let none = template(cluster, "maglev", &["--set", "dashboard.enabled=false"]).await.unwrap();
    assert!(!none.contains("name: maglev-frontend\n"), "{none}");
}

#[tokio::test]
async fn only_an_agent_with_a_probe_namespace_gets_its_privileges() {
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
    assert!(path.unwrap_err().contains("probeNetworkNamespace"), "a path is refused");
}

#[tokio::test]
async fn daemon_set_is_named_after_the_release() {
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
async fn crds_equal_those_of_the_checkout_and_are_kept_on_uninstall() {
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
    assert_eq!(rendered.matches("kind: CustomResourceDefinition").count(), 6);
    assert_eq!(rendered.matches("helm.sh/resource-policy: keep").count(), 6);
    let rendered = template(cluster().await, "maglev", &["--set", "crds.keep=false"]).await.unwrap();
    assert_eq!(rendered.matches("helm.sh/resource-policy: keep").count(), 0);
}

/// The rendered objects by `Kind/name`.
pub async fn objects(cluster: &Cluster, values: &[&str]) -> BTreeMap<String, Value> {
    let set = values.iter().flat_map(|values| ["--set", values]);
    let rendered = template(cluster, "maglev", &set.collect::<Vec<_>>()).await.unwrap();
    let documents = rendered.split("\n---\n").filter(|text| text.contains("\nkind: "));
    let object = |text: &str| {
        let object: Value = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        (format!("{}/{}", text("/kind"), text("/metadata/name")), object)
    };
    documents.map(object).collect()
}

/// Each component's section of the values, workload and component label.
const COMPONENTS: [(&str, &str, &str); 3] = [
    ("agent", "DaemonSet/maglevd", "maglevd"),
    ("controller", "Deployment/maglev-controller", "controller"),
    ("dashboard", "Deployment/maglev-frontend", "dashboard"),
];

/// Values that every component has, each with its place in the workload and its content there. A place is a JSON
/// pointer or the name of a list of the pod or its container.
fn common_values(component: &str) -> Vec<(String, String, Value)> {
    let digest = format!("sha256:{}", "a".repeat(64));
    let image = format!("image.registry=registry.example,PART.image.repository=lb/maglev,PART.image.digest={digest}");
    let strategy = if component == "agent" { "updateStrategy" } else { "strategy" };
    let strategy = format!("/spec/{strategy}/rollingUpdate/maxUnavailable");
    let in_spec = |inside: &str| format!("/spec/template/spec/{inside}");
    let in_metadata = |inside: &str| format!("/spec/template/metadata/{inside}");
    let values = [
        (&*image, in_spec("containers/0/image"), json!(format!("registry.example/lb/maglev@{digest}"))),
        ("image.pullPolicy=Always", in_spec("containers/0/imagePullPolicy"), json!("Always")),
        ("resources.limits.memory=1Gi", in_spec("containers/0/resources/limits"), json!({"memory": "1Gi"})),
        ("nodeSelector.role=lb", in_spec("nodeSelector"), json!({"role": "lb"})),
        ("tolerations[0].key=lb", in_spec("tolerations/0/key"), json!("lb")),
        ("affinity.podAntiAffinity.preferred=x", in_spec("affinity"), json!({"podAntiAffinity": {"preferred": "x"}})),
        ("podLabels.team=net", in_metadata("labels/team"), json!("net")),
        ("podAnnotations.team=net", in_metadata("annotations/team"), json!("net")),
        ("extraEnv[0].name=THREE", "env".into(), json!("THREE")),
        ("extraArgs={--one}", "args".into(), json!("--one")),
        ("extraVolumes[0].name=more", "volumes".into(), json!("more")),
        ("extraVolumeMounts[0].name=more", "volumeMounts".into(), json!("more")),
        ("serviceAccount.create=false,PART.serviceAccount.name=mine", in_spec("serviceAccountName"), json!("mine")),
        ("priorityClassName=first", in_spec("priorityClassName"), json!("first")),
        ("updateStrategy.rollingUpdate.maxUnavailable=2", strategy, json!(2)),
        ("terminationGracePeriodSeconds=7", in_spec("terminationGracePeriodSeconds"), json!(7)),
        ("log.level=debug,PART.log.format=json", "args".into(), json!("--log-format=json")),
    ];
    values
        .into_iter()
        .map(|(value, place, content)| (format!("PART.{value}").replace("PART", component), place, content))
        .collect()
}

/// True if a list of the pod or its container has this entry, or an entry of this name.
fn list_contains(workload: &Value, list: &str, content: &Value) -> bool {
    let pod = &workload["spec"]["template"]["spec"];
    let entries = if list == "volumes" { &pod[list] } else { &pod["containers"][0][list] };
    entries.as_array().is_some_and(|list| list.iter().any(|entry| entry == content || entry["name"] == *content))
}

/// The workload without the flag with the names of the other components' ServiceAccounts.
fn without_users(workload: &Value) -> Value {
    let mut workload = workload.clone();
    if let Some(Value::Array(args)) = workload.pointer_mut("/spec/template/spec/containers/0/args") {
        args.retain(|arg| !arg.as_str().is_some_and(|arg| arg.starts_with("--grpc-viewer=")));
    }
    workload
}

#[tokio::test]
async fn common_values_reach_only_their_component() {
    let cluster = cluster().await;
    for (component, workload, label) in COMPONENTS {
        let values = common_values(component);
        let set: Vec<&str> = values.iter().map(|(value, ..)| value.as_str()).collect();
        let with = objects(cluster, &set).await;
        let without = objects(cluster, &[]).await;
        for (value, place, content) in &values {
            let is_applied = |object: &Value| match place.starts_with('/') {
                true => object.pointer(place) == Some(content),
                false => list_contains(object, place, content),
            };
            assert!(is_applied(&with[workload]), "{value}: {content} is not at {place} of {:#}", with[workload]);
            for (_, other, _) in COMPONENTS.iter().filter(|(_, other, _)| *other != workload) {
                let (with, without) = (without_users(&with[*other]), without_users(&without[*other]));
                assert_eq!(with, without, "values of {component} change {other}");
            }
        }
        let labels = &with[workload]["spec"]["selector"]["matchLabels"];
        assert_eq!(labels["app.kubernetes.io/component"], label);
        assert!(!with.contains_key(&format!("ServiceAccount/{}", workload.split_once('/').unwrap().1)));
    }
}

#[tokio::test]
async fn specific_and_global_values_reach_their_objects() {
    let rendered = objects(cluster().await, &[
        "allowLoopback=true,commonLabels.cost=shared,imagePullSecrets[0].name=pull",
        "agent.grpc.portForward=false,agent.vpp.runDirectory=/srv/vpp,agent.minReadySeconds=7",
        "agent.rbac.certificates[0].namespace=shop,agent.rbac.certificates[0].secrets={client-certificate}",
        "agent.rbac.certificates[0].configMaps={authorities},agent.rbac.certificates[1].namespace=bank",
        "dashboard.portForward=false,dashboard.replicas=2,dashboard.service.port=8000,dashboard.service.type=NodePort",
        "dashboard.auth.allowAnonymous=true,dashboard.ingress.enabled=true,dashboard.ingress.host=lb.example",
        "dashboard.ingress.path=/lb,dashboard.ingress.className=nginx",
        "dashboard.ingress.tls[0].secretName=lb-tls,dashboard.ingress.tls[0].hosts={lb.example}",
        "controller.podDisruptionBudget.maxUnavailable=50%,dashboard.podDisruptionBudget.maxUnavailable=2",
        "userRoles.aggregate=false,tests.within=7",
    ])
    .await;
    for (object, pointer, expected) in [
        ("DaemonSet/maglevd", "/spec/minReadySeconds", "7"),
        ("DaemonSet/maglevd", "/spec/template/spec/volumes/0/hostPath/path", "\"/srv/vpp\""),
        ("DaemonSet/maglevd", "/spec/template/spec/containers/0/args/0", "\"--vpp-api-socket=/srv/vpp/api.sock\""),
        ("DaemonSet/maglevd", "/spec/template/spec/containers/0/args/2", "\"--grpc-addr=$(POD_IP):9090\""),
        ("DaemonSet/maglevd", "/spec/template/spec/containers/0/args/5", "\"--allow-loopback\""),
        ("Deployment/maglev-controller", "/spec/template/spec/containers/0/args/3", "\"--allow-loopback\""),
        ("Deployment/maglev-frontend", "/spec/replicas", "2"),
        ("Service/maglev-frontend", "/spec/ports/0/port", "8000"),
        ("Service/maglev-frontend", "/spec/type", "\"NodePort\""),
        ("Ingress/maglev-frontend", "/spec/rules/0/host", "\"lb.example\""),
        ("Ingress/maglev-frontend", "/spec/rules/0/http/paths/0/path", "\"/lb\""),
        ("Ingress/maglev-frontend", "/spec/ingressClassName", "\"nginx\""),
        ("Ingress/maglev-frontend", "/spec/tls/0/secretName", "\"lb-tls\""),
        ("PodDisruptionBudget/maglev-controller", "/spec/maxUnavailable", "\"50%\""),
        ("PodDisruptionBudget/maglev-frontend", "/spec/maxUnavailable", "2"),
        ("Pod/maglev-test", "/spec/containers/0/args/2", "\"--within=7\""),
    ] {
        let body = rendered.get(object).unwrap_or_else(|| panic!("the chart renders no {object}"));
        let actual = body.pointer(pointer).unwrap_or(&Value::Null).to_string();
        assert_eq!(actual, expected, "{pointer} of {object}: {body:#}");
    }
    for (object, body) in &rendered {
        assert_eq!(body["metadata"]["labels"]["cost"], "shared", "{object}");
        assert_eq!(body["metadata"]["labels"]["app.kubernetes.io/managed-by"], "Helm", "{object}");
        assert!(!body.to_string().contains("aggregate-to-"), "{object}");
    }
    for (_, workload, _) in COMPONENTS {
        assert_eq!(rendered[workload]["spec"]["template"]["spec"]["imagePullSecrets"][0]["name"], "pull", "{workload}");
    }
}

#[tokio::test]
async fn dashboard_answers_under_the_names_of_its_service_its_ingress_and_the_values() {
    let values = [
        "dashboard.auth.allowAnonymous=true,dashboard.ingress.enabled=true,dashboard.ingress.host=lb.example",
        "dashboard.allowedHosts={*.lb.example,nodes.example},dashboard.trustedProxies={10.0.0.0/8,fd00::1}",
    ];
    let rendered = objects(cluster().await, &values).await;
    let container = &rendered["Deployment/maglev-frontend"]["spec"]["template"]["spec"]["containers"][0];
    let arguments: Vec<&str> = container["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let service = "maglev-frontend,maglev-frontend.maglev-system,maglev-frontend.maglev-system.svc,\
                   maglev-frontend.maglev-system.svc.cluster.local";
    let hosts = format!("--allowed-hosts={service},lb.example,*.lb.example,nodes.example");
    assert!(
        arguments.contains(&&*hosts) && arguments.contains(&"--trusted-proxies=10.0.0.0/8,fd00::1"),
        "{arguments:?}"
    );
    for wrong in ["dashboard.allowedHosts={https://lb.example}", "dashboard.trustedProxies={lb.example}"] {
        let refused = template(cluster().await, "maglev", &["--set", wrong]).await.unwrap_err();
        assert!(refused.contains("does not match pattern"), "{refused}");
    }
}

/// Switches that are off or on by default, and the objects that they add or remove.
const SWITCHES: [(&str, &[&str]); 7] = [
    (
        "networkPolicy.enabled=true",
        &["NetworkPolicy/maglev-controller", "NetworkPolicy/maglev-frontend", "NetworkPolicy/maglev-test"],
    ),
    (
        "monitoring.podMonitor.enabled=true",
        &["PodMonitor/maglev-controller", "PodMonitor/maglev-frontend", "PodMonitor/maglevd"],
    ),
    ("monitoring.prometheusRule.enabled=true", &["PrometheusRule/maglev"]),
    ("monitoring.grafanaDashboard.enabled=true", &["ConfigMap/maglev-grafana"]),
    (
        "userRoles.create=false",
        &[
            "ClusterRole/maglev-edit",
            "ClusterRole/maglev-operator",
            "ClusterRole/maglev-view",
            "ClusterRole/maglev-vip-admin",
            "Role/maglevc-operator",
            "Role/maglevc-viewer",
        ],
    ),
    (
        "tests.enabled=false",
        &["Pod/maglev-test", "Role/maglev-test", "RoleBinding/maglev-test", "ServiceAccount/maglev-test"],
    ),
    (
        "dashboard.enabled=false",
        &[
            "ClusterRole/maglev-system:maglev-frontend",
            "ClusterRoleBinding/maglev-system:maglev-frontend",
            "Deployment/maglev-frontend",
            "PodDisruptionBudget/maglev-frontend",
            "Role/maglev-frontend",
            "RoleBinding/maglev-frontend",
            "Service/maglev-frontend",
            "ServiceAccount/maglev-frontend",
        ],
    ),
];

#[tokio::test]
async fn switches_add_or_remove_only_their_objects() {
    let cluster = cluster().await;
    let default = objects(cluster, &[]).await;
    for (value, expected) in SWITCHES {
        let with = objects(cluster, &[value]).await;
        let removed = default.keys().filter(|key| !with.contains_key(*key));
        let added = with.keys().filter(|key| !default.contains_key(*key));
        let mut differences: Vec<&str> = removed.chain(added).map(String::as_str).collect();
        differences.sort_unstable();
        assert_eq!(differences, expected, "{value}");
        let changed =
            default.keys().filter(|key| with.get(*key).is_some_and(|body| *body != default[*key])).collect::<Vec<_>>();
        assert!(changed.is_empty(), "{value} changes {changed:?}");
    }
}

/// Combinations of values.
const COMBINATIONS: [&str; 8] = [
    "grpc.auth=permissive,grpc.tls.mode=secret,grpc.tls.secretName=own,grpc.tls.caConfigMap=own,metrics.auth=token,\
     metrics.viewers={system:serviceaccount:monitoring:prometheus}",
    "agent.probeNetworkNamespace=dataplane",
    "dashboard.enabled=false,networkPolicy.enabled=true,tests.enabled=false",
    "networkPolicy.enabled=true,networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.monitoring=yes,\
     networkPolicy.dashboardFrom[0].ipBlock.cidr=192.0.2.0/24,networkPolicy.apiServerPorts={8443}",
    "dashboard.auth.allowAnonymous=true,dashboard.ingress.enabled=true,dashboard.ingress.path=/maglev/",
    "dashboard.auth.mode=token,dashboard.admin.mode=token,dashboard.admin.keySecret.name=key,dashboard.ingress.enabled=true",
    "agent.serviceAccount.create=false,controller.serviceAccount.create=false,dashboard.serviceAccount.create=false,\
     fullnameOverride=lb,monitoring.grafanaDashboard.enabled=true",
    "agent.updateStrategy.type=OnDelete,agent.updateStrategy.rollingUpdate=null,controller.updateStrategy.type=Recreate,\
     controller.updateStrategy.rollingUpdate=null,crds.keep=false",
];

#[tokio::test]
async fn api_server_accepts_all_objects_without_warnings() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("chart").await;
    for values in [""].into_iter().chain(COMBINATIONS) {
        let values = format!("{NODES},{values}");
        let values = values.trim_end_matches(',');
        let linted = helm(cluster, &["lint", "--strict", "charts/maglev", "--set", values]).await.unwrap();
        assert!(linted.contains("0 chart(s) failed"), "{values}: {linted}");
        // A hook's pod needs its ServiceAccount, which a dry run does not create.
        let args = ["template", "maglev", "charts/maglev", "--no-hooks", "--namespace", &namespace, "--set", values];
        let rendered = helm(cluster, &args).await.unwrap();
        let dry_run = ["apply", "--server-side", "--dry-run=server", "--force-conflicts", "-n", &namespace, "-f", "-"];
        let output = cluster.kubectl_with(&dry_run, &rendered).await;
        let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert!(output.status.success(), "{values}: {stderr}");
        assert!(!stderr.contains("Warning"), "{values}: {stderr}");
        assert!(stdout.contains("daemonset.apps/"), "{stdout}");
    }
}

#[tokio::test]
async fn output_is_reproducible() {
    // Generated keys or certificates would break tools that compare the output, such as GitOps tools.
    let cluster = cluster().await;
    let enabled: Vec<&str> =
        SWITCHES.iter().map(|(value, _)| *value).filter(|value| value.ends_with("=true")).collect();
    assert_eq!(objects(cluster, &enabled).await, objects(cluster, &enabled).await);
}

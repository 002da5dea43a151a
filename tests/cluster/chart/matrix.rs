//! Values that the chart must take in any combination: nulls, names with dots, clashing labels, and the conditions of a
//! chart that has this one as a dependency.

use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value};
use tokio::process::Command;

use super::super::harness::{Cluster, cluster, root, run};
use super::{NODES, helm, template};

/// Maps with the content of Kubernetes' own types, of which null removes an entry.
const FREE_FORM: [&str; 3] = ["resources", "updateStrategy", "labels"];

fn default_values() -> Map<String, Value> {
    serde_saphyr::from_str(&fs::read_to_string(root().join("charts/maglev/values.yaml")).unwrap()).unwrap()
}

/// Collects the paths of all sections, and those of all other values.
fn collect_paths(prefix: &str, values: &Map<String, Value>, sections: &mut Vec<String>, leaves: &mut Vec<String>) {
    for (key, value) in values {
        let path = format!("{prefix}{key}");
        match value.as_object().filter(|map| !map.is_empty() && !FREE_FORM.contains(&key.as_str())) {
            Some(inside) => {
                sections.push(path.clone());
                collect_paths(&format!("{path}."), inside, sections, leaves);
            }
            None => leaves.push(path),
        }
    }
}

#[test]
fn defaults_for_templates_equal_the_values() {
    let [values, copy] = ["values.yaml", "files/defaults.yaml"].map(|file| root().join("charts/maglev").join(file));
    let text = fs::read_to_string(values).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&copy, &text).unwrap();
    }
    assert!(fs::read_to_string(&copy).unwrap() == text, "{} is not current: run make golden", copy.display());
}

#[tokio::test]
async fn null_means_the_default() {
    let cluster = cluster().await;
    let (mut sections, mut leaves) = (Vec::new(), Vec::new());
    collect_paths("", &default_values(), &mut sections, &mut leaves);
    assert!(sections.contains(&"monitoring.podMonitor".to_owned()) && leaves.contains(&"agent.log.level".to_owned()));
    // The required value has no default.
    for required in ["agent", "agent.nodeSelector"] {
        let refused = template(cluster, "maglev", &["--set", &format!("{required}=null")]).await.unwrap_err();
        assert!(refused.contains("agent.nodeSelector is empty"), "{refused}");
        sections.retain(|path| path != required);
        leaves.retain(|path| path != required);
    }
    let expected = template(cluster, "maglev", &["--set", "crds.keep=true"]).await.unwrap();
    let all_leaves = leaves.iter().map(|path| format!("{path}=null")).collect::<Vec<_>>().join(",");
    for nulls in sections.iter().map(|path| format!("{path}=null")).chain([all_leaves]) {
        let rendered = template(cluster, "maglev", &["--set", &nulls]).await;
        assert!(
            rendered.as_ref() == Ok(&expected),
            "{nulls} changes the output: {:.2000}",
            rendered.unwrap_or_else(|e| e)
        );
    }
}

#[tokio::test]
async fn null_removes_an_entry_of_a_free_form_map() {
    let removed = "agent.updateStrategy.type=OnDelete,agent.updateStrategy.rollingUpdate=null";
    let rendered = template(cluster().await, "maglev", &["--set", removed]).await.unwrap();
    assert!(rendered.contains("  updateStrategy:\n    type: OnDelete\n"), "{rendered}");
}

/// Renders a chart into the namespace, and has the API server validate all objects strictly.
async fn assert_valid(cluster: &Cluster, namespace: &str, release: &str, chart: &str, values: &str) -> String {
    // Admission of the test's pod would require its ServiceAccount to exist.
    let prefixes: &[&str] = if chart == "charts/maglev" { &[""] } else { &["maglev.", "balancer."] };
    let always: Vec<String> =
        prefixes.iter().map(|prefix| format!("{prefix}tests.enabled=false,{prefix}{NODES}")).collect();
    let always = always.join(",");
    let args = ["template", release, chart, "--namespace", namespace, "--set", values, "--set", &always];
    let rendered = helm(cluster, &args).await.unwrap_or_else(|error| panic!("{release} {values}: {error}"));
    let apply = ["apply", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", "-"];
    let output = cluster.kubectl_with(&apply, &rendered).await;
    assert!(output.status.success(), "{release} {values}: {}", String::from_utf8_lossy(&output.stderr));
    rendered
}

#[tokio::test]
async fn release_names_and_clashing_labels_give_valid_objects() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("chart-matrix").await;
    let install = "crds.install=false,networkPolicy.enabled=true,dashboard.auth.allowAnonymous=true,dashboard.ingress.enabled=true";
    let clash = format!(
        "{install},userRoles.create=false,commonLabels.team=a,agent.podLabels.team=b,controller.podLabels.team=c,dashboard.podLabels.team=d,\
         commonLabels.app\\.kubernetes\\.io/name=other,commonLabels.app\\.kubernetes\\.io/component=other,\
         agent.podLabels.app\\.kubernetes\\.io/component=other,agent.podAnnotations.kubectl\\.kubernetes\\.io/default-container=other,\
         controller.podAnnotations.checksum/rbac=other"
    );
    let long = "a".repeat(52) + "1";
    for (release, values) in [
        ("maglev", install),
        ("my.release", install),
        ("maglev.v2", install),
        ("1", install),
        ("123.456", install),
        (&long, install),
        ("prod", &format!("{install},nameOverride=load.balancer")),
        ("prod", &format!("{install},fullnameOverride=9.lb")),
        ("prod", &clash),
    ] {
        assert_valid(cluster, &namespace, release, "charts/maglev", values).await;
    }
    let rendered = assert_valid(cluster, &namespace, "prod", "charts/maglev", &clash).await;
    assert!(!rendered.contains("component: other") && !rendered.contains("name: other"), "{rendered}");
    assert!(!rendered.contains("team: b") && rendered.contains("team: a"), "commonLabels take precedence: {rendered}");
}

#[tokio::test]
async fn clashing_labels_of_monitoring_objects_occur_once() {
    let values = "monitoring.podMonitor.enabled=true,monitoring.prometheusRule.enabled=true,\
                  monitoring.grafanaDashboard.enabled=true,commonLabels.release=a,\
                  monitoring.podMonitor.labels.release=b,monitoring.prometheusRule.labels.release=b,\
                  monitoring.grafanaDashboard.labels.release=b,crds.install=false";
    let rendered = template(cluster().await, "maglev", &["--set", values]).await.unwrap();
    for document in rendered.split("\n---\n").filter(|text| text.contains("\nkind: ")) {
        let parsed: Result<Value, _> = serde_saphyr::from_str(document);
        assert!(parsed.is_ok(), "{:?} in {document:.600}", parsed.err());
        assert!(!document.contains("    release: b\n"), "commonLabels take precedence: {document:.600}");
    }
}

/// Writes a chart that has this one as a dependency.
async fn umbrella(cluster: &Cluster, alias: Option<&str>) -> PathBuf {
    let name = alias.unwrap_or("maglev");
    let dir = cluster.dir().join(format!("umbrella-{name}"));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(dir.join("charts")).unwrap();
    let alias = alias.map(|alias| format!(", alias: {alias}")).unwrap_or_default();
    let chart = format!(
        "{{apiVersion: v2, name: umbrella, version: 1.0.0, dependencies: \
         [{{name: maglev, version: 0.x.x, condition: {name}.enabled{alias}}}]}}"
    );
    fs::write(dir.join("Chart.yaml"), chart).unwrap();
    let mut copy = Command::new("cp");
    copy.arg("-r").arg(root().join("charts/maglev")).arg(dir.join("charts"));
    assert!(run(&mut copy, "").await.status.success());
    dir
}

#[tokio::test]
async fn chart_works_as_a_dependency_with_a_condition() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("chart-umbrella").await;
    for alias in [None, Some("balancer")] {
        let chart = umbrella(cluster, alias).await.display().to_string();
        let name = alias.unwrap_or("maglev");
        for (values, installed) in [
            (format!("{name}.enabled=true,{name}.crds.install=false"), true),
            (format!("{name}.enabled=true,{name}.crds.install=false,{name}.monitoring=null,global.any.key=x"), true),
            (format!("{name}.crds.install=false"), true),
        ] {
            let rendered = assert_valid(cluster, &namespace, "site", &chart, &values).await;
            assert_eq!(rendered.contains("kind: DaemonSet"), installed, "{values}");
        }
        let none =
            helm(cluster, &["template", "site", &chart, "--set", &format!("{name}.enabled=false")]).await.unwrap();
        assert!(!none.contains("kind:"), "{none}");
    }
}

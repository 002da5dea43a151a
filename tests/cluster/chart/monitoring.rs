//! The chart's alerts and Grafana dashboard: they are valid and use only existing metrics and labels.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use regex::Regex;
use serde_json::{Value, json};

use super::super::harness::{cluster, root};
use super::super::promtool::promtool;
use super::template;

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

/// The metrics of `docs/metrics.md` with their labels, including those that Prometheus adds to the metrics of a pod.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let row = Regex::new(r"(?m)^\| `(maglev_\w+)` \| (\w+) \|([^|]*)\|").unwrap();
    let page = read("docs/metrics.md");
    let mut metrics = BTreeMap::new();
    for cells in row.captures_iter(&page) {
        let labels = cells[3].split_whitespace().map(|label| label.trim_matches('`').to_owned());
        let labels: BTreeSet<String> = labels.chain(["instance", "namespace", "pod"].map(String::from)).collect();
        if &cells[2] == "histogram" {
            let bucket = labels.iter().cloned().chain(["le".to_owned()]).collect();
            metrics.insert(format!("{}_bucket", &cells[1]), bucket);
            metrics.extend(["_sum", "_count"].map(|end| (format!("{}{end}", &cells[1]), labels.clone())));
        } else {
            metrics.insert(cells[1].to_owned(), labels);
        }
    }
    assert!(metrics.len() > 40, "only {} metrics were found", metrics.len());
    metrics
}

/// Errors about metrics in the queries that do not exist or lack a label.
fn unknown_metrics(queries: &[String]) -> Vec<String> {
    let documented = documented();
    let metric = Regex::new(r"\b(maglev_\w+)(?:\{([^}]*)\})?").unwrap();
    let label = Regex::new(r"(\w+)(?:=~|!~|!=|=)").unwrap();
    let mut errors = Vec::new();
    for query in queries {
        for selector in metric.captures_iter(query) {
            let matchers = selector.get(2).map_or("", |labels| labels.as_str());
            let Some(labels) = documented.get(&selector[1]) else {
                errors.push(format!("there is no metric {} ({query})", &selector[1]));
                continue;
            };
            let used = label.captures_iter(matchers).map(|matcher| matcher[1].to_owned());
            errors.extend(
                used.filter(|label| !labels.contains(label))
                    .map(|label| format!("{} has no label {label}", &selector[1])),
            );
        }
        assert!(metric.is_match(query), "no metric of this project in {query}");
    }
    errors
}

/// Checks that `promtool` accepts the rules.
async fn assert_promtool_accepts(rules: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.yaml");
    fs::write(&file, rules).unwrap();
    let check = promtool(&["check", "rules", file.to_str().unwrap()], "").await;
    let output = String::from_utf8([check.stdout, check.stderr].concat()).unwrap();
    assert!(check.status.success() && output.contains("SUCCESS"), "{output}");
}

#[tokio::test]
async fn alerts_are_valid_and_use_existing_metrics() {
    let rules = read("charts/maglev/files/alerts.yaml");
    assert_promtool_accepts(&rules).await;
    let rules: Value = serde_saphyr::from_str(&rules).unwrap();
    let rules = rules["groups"][0]["rules"].as_array().unwrap();
    let queries: Vec<String> = rules.iter().map(|rule| rule["expr"].as_str().unwrap().to_owned()).collect();
    assert!(queries.len() > 8, "{queries:?}");
    assert_eq!(unknown_metrics(&queries), Vec::<String>::new());

    let values = "monitoring.prometheusRule.enabled=true,monitoring.prometheusRule.labels.release=prometheus";
    let rendered = template(cluster().await, "maglev", &["--set", values]).await.unwrap();
    let rule = rendered.split("\n---\n").find(|text| text.contains("kind: PrometheusRule")).unwrap();
    let rule: Value = serde_saphyr::from_str(rule).unwrap();
    assert_eq!(rule["spec"]["groups"][0]["rules"].as_array(), Some(rules), "the chart changes the rules");
    assert_eq!(rule["metadata"]["labels"]["release"], "prometheus");
}

/// Checks when alerts fire, with the series of `alerts_test.yaml`.
#[tokio::test]
async fn alerts_fire_after_their_time_and_only_for_their_faults() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(root().join("charts/maglev/files/alerts.yaml"), dir.path().join("alerts.yaml")).unwrap();
    let tests = dir.path().join("alerts_test.yaml");
    fs::copy(root().join("tests/cluster/chart/alerts_test.yaml"), &tests).unwrap();
    let test = promtool(&["test", "rules", tests.to_str().unwrap()], "").await;
    let output = String::from_utf8([test.stdout, test.stderr].concat()).unwrap();
    assert!(test.status.success() && output.contains("SUCCESS"), "{output}");
}

/// The queries of a Grafana dashboard with its variables replaced.
fn dashboard_queries(page: &Value) -> Vec<String> {
    let panels = page["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let query = |target: &Value| target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
    targets.map(query).collect()
}

#[tokio::test]
async fn grafana_dashboard_uses_existing_metrics() {
    let values = "monitoring.grafanaDashboard.enabled=true";
    let rendered = template(cluster().await, "maglev", &["--set", values]).await.unwrap();
    let map = rendered.split("\n---\n").find(|text| text.contains("grafana_dashboard:")).unwrap();
    let map: Value = serde_saphyr::from_str(map).unwrap();
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    let page: Value = serde_json::from_str(map["data"]["maglev.json"].as_str().unwrap()).unwrap();
    let source: Value = serde_json::from_str(&read("charts/maglev/files/dashboard.json")).unwrap();
    assert_eq!(page, source, "the chart changes the dashboard");

    let queries = dashboard_queries(&page);
    assert!(queries.len() > 15, "{queries:?}");
    assert_eq!(unknown_metrics(&queries), Vec::<String>::new());
    // promtool checks a query only as part of a rule.
    let rule = |(index, query): (usize, &String)| json!({"record": format!("panel:{index}"), "expr": query});
    let rules: Vec<Value> = queries.iter().enumerate().map(rule).collect();
    assert_promtool_accepts(&json!({"groups": [{"name": "panels", "rules": rules}]}).to_string()).await;
}

#[tokio::test]
async fn unknown_metrics_and_labels_are_detected() {
    let queries = ["sum(maglev_backend_states)", r#"maglev_backend_state{colour="red"}"#].map(String::from);
    assert_eq!(unknown_metrics(&queries).len(), 2);
}

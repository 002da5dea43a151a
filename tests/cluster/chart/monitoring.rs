//! What the chart has for Prometheus and Grafana: it parses, and asks for metrics and labels that exist.

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

/// The labels of every metric of `docs/metrics.md`, and those that Prometheus adds to a pod's.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let row = Regex::new(r"(?m)^\| `(maglev_\w+)` \| (\w+) \|([^|]*)\|").unwrap();
    let page = read("docs/metrics.md");
    let mut all = BTreeMap::new();
    for of in row.captures_iter(&page) {
        let labels = of[3].split_whitespace().map(|label| label.trim_matches('`').to_owned());
        let labels: BTreeSet<String> = labels.chain(["instance", "namespace", "pod"].map(String::from)).collect();
        if &of[2] == "histogram" {
            let bucket = labels.iter().cloned().chain(["le".to_owned()]).collect();
            all.insert(format!("{}_bucket", &of[1]), bucket);
            all.extend(["_sum", "_count"].map(|end| (format!("{}{end}", &of[1]), labels.clone())));
        } else {
            all.insert(of[1].to_owned(), labels);
        }
    }
    assert!(all.len() > 40, "only {} metrics were found", all.len());
    all
}

/// Metrics that these queries ask for and that do not exist, or not with such labels.
fn unknown(queries: &[String]) -> Vec<String> {
    let documented = documented();
    let metric = Regex::new(r"\b(maglev_\w+)(?:\{([^}]*)\})?").unwrap();
    let label = Regex::new(r"(\w+)(?:=~|!~|!=|=)").unwrap();
    let mut wrong = Vec::new();
    for query in queries {
        for of in metric.captures_iter(query) {
            let asked = of.get(2).map_or("", |labels| labels.as_str());
            let Some(labels) = documented.get(&of[1]) else {
                wrong.push(format!("there is no {} ({query})", &of[1]));
                continue;
            };
            let asked = label.captures_iter(asked).map(|of| of[1].to_owned());
            wrong.extend(
                asked.filter(|label| !labels.contains(label)).map(|label| format!("{} has no {label}", &of[1])),
            );
        }
        assert!(metric.is_match(query), "{query} asks for nothing of ours");
    }
    wrong
}

/// Prometheus takes these rules.
async fn judge(rules: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.yaml");
    fs::write(&file, rules).unwrap();
    let judgement = promtool(&["check", "rules", file.to_str().unwrap()], "").await;
    let said = String::from_utf8([judgement.stdout, judgement.stderr].concat()).unwrap();
    assert!(judgement.status.success() && said.contains("SUCCESS"), "{said}");
}

#[tokio::test]
async fn the_alerts_are_rules_that_prometheus_takes_about_metrics_that_exist() {
    let rules = read("charts/maglev/files/alerts.yaml");
    judge(&rules).await;
    let rules: Value = serde_saphyr::from_str(&rules).unwrap();
    let rules = rules["groups"][0]["rules"].as_array().unwrap();
    let queries: Vec<String> = rules.iter().map(|rule| rule["expr"].as_str().unwrap().to_owned()).collect();
    assert!(queries.len() > 8, "{queries:?}");
    assert_eq!(unknown(&queries), Vec::<String>::new());

    let values = "monitoring.prometheusRule.enabled=true,monitoring.prometheusRule.labels.release=prometheus";
    let rendered = template(cluster().await, "maglev", &["--set", values]).await.unwrap();
    let rule = rendered.split("\n---\n").find(|text| text.contains("kind: PrometheusRule")).unwrap();
    let rule: Value = serde_saphyr::from_str(rule).unwrap();
    assert_eq!(rule["spec"]["groups"][0]["rules"].as_array(), Some(rules), "the chart changes nothing of them");
    assert_eq!(rule["metadata"]["labels"]["release"], "prometheus");
}

/// Every query of the page for Grafana, with its variables filled in.
fn queries_of(page: &Value) -> Vec<String> {
    let panels = page["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let query = |target: &Value| target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
    targets.map(query).collect()
}

#[tokio::test]
async fn the_page_for_grafana_asks_for_metrics_that_exist() {
    let values = "monitoring.grafanaDashboard.enabled=true";
    let rendered = template(cluster().await, "maglev", &["--set", values]).await.unwrap();
    let map = rendered.split("\n---\n").find(|text| text.contains("kind: ConfigMap")).unwrap();
    let map: Value = serde_saphyr::from_str(map).unwrap();
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    let page: Value = serde_json::from_str(map["data"]["maglev.json"].as_str().unwrap()).unwrap();
    let page_of_the_checkout: Value = serde_json::from_str(&read("charts/maglev/files/dashboard.json")).unwrap();
    assert_eq!(page, page_of_the_checkout, "the chart changes nothing of it");

    let queries = queries_of(&page);
    assert!(queries.len() > 15, "{queries:?}");
    assert_eq!(unknown(&queries), Vec::<String>::new());
    // promtool knows how to read a query only as part of a rule.
    let rule = |(index, query): (usize, &String)| json!({"record": format!("panel:{index}"), "expr": query});
    let rules: Vec<Value> = queries.iter().enumerate().map(rule).collect();
    judge(&json!({"groups": [{"name": "panels", "rules": rules}]}).to_string()).await;
}

#[tokio::test]
async fn a_metric_that_does_not_exist_would_be_found() {
    let asked = ["sum(maglev_backend_states)", r#"maglev_backend_state{colour="red"}"#].map(String::from);
    assert_eq!(unknown(&asked).len(), 2);
}

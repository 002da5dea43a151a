//! The schema of the chart's values: it rejects wrong values with their names and the allowed values.

use super::super::harness::cluster;
use super::template;

/// Wrong values, and texts in helm's error.
const WRONG_VALUES: [(&str, &[&str]); 23] = [
    ("agent.tolerance=1", &["/agent", "tolerance"]),
    ("replica=1", &["replica"]),
    ("controller.image.name=x", &["/controller/image", "name"]),
    ("dashboard.ingress.hosts={a}", &["/dashboard/ingress", "hosts"]),
    ("monitoring.podMonitor.scrape=true", &["/monitoring/podMonitor", "scrape"]),
    ("networkPolicy.from={a}", &["/networkPolicy", "from"]),
    ("crds.upgrade=true", &["/crds", "upgrade"]),
    ("agent.log.format=xml", &["/agent/log/format", "'text', 'json'"]),
    ("controller.log.level=trace", &["/controller/log/level", "'debug'"]),
    ("agent.image.digest=sha256:abc", &["/agent/image/digest", "sha256:[0-9a-f]{64}"]),
    ("agent.image.pullPolicy=Sometimes", &["/agent/image/pullPolicy", "'IfNotPresent'"]),
    ("controller.replicas=-1", &["/controller/replicas", "0"]),
    ("controller.replicas=two", &["/controller/replicas", "integer"]),
    ("dashboard.service.port=70000", &["/dashboard/service/port", "65,535"]),
    ("dashboard.service.type=ExternalName", &["/dashboard/service/type", "'ClusterIP'"]),
    ("dashboard.ingress.path=lb", &["/dashboard/ingress/path", "^/"]),
    ("agent.vpp.runDirectory=run/vpp", &["/agent/vpp/runDirectory", "^/"]),
    ("agent.probeNetworkNamespace=/proc/1/ns/net", &["/agent/probeNetworkNamespace", "^[^/ ]*$"]),
    ("agent.updateStrategy.rollingUpdate.maxSurge=1", &["/agent/updateStrategy/rollingUpdate/maxSurge", "0"]),
    ("controller.updateStrategy.type=OnDelete", &["/controller/updateStrategy/type", "'Recreate'"]),
    ("controller.podDisruptionBudget.maxUnavailable=half", &["/controller/podDisruptionBudget", "^[0-9]+%$"]),
    ("agent.resources.memory=1Gi", &["/agent/resources", "memory"]),
    ("monitoring.podMonitor.interval=often", &["/monitoring/podMonitor/interval", "often"]),
];

#[tokio::test]
async fn wrong_value_is_rejected_with_its_name_and_the_allowed_values() {
    let cluster = cluster().await;
    for (value, texts) in WRONG_VALUES {
        let error = template(cluster, "maglev", &["--set", value]).await.unwrap_err();
        for text in texts {
            assert!(error.contains(text), "{value}: {text} is not in {error}");
        }
    }
}

#[tokio::test]
async fn every_object_of_the_schema_rejects_unknown_names() {
    fn collect_open(path: &str, schema: &serde_json::Value, open: &mut Vec<String>) {
        if let Some(object) = schema.as_object() {
            if object.contains_key("properties") && object.get("additionalProperties") != Some(&false.into()) {
                open.push(path.to_owned());
            }
            object.iter().for_each(|(key, inside)| collect_open(&format!("{path}/{key}"), inside, open));
        }
    }
    let root = super::super::harness::root();
    let text = std::fs::read_to_string(root.join("charts/maglev/values.schema.json")).unwrap();
    let mut open = Vec::new();
    collect_open("", &serde_json::from_str(&text).unwrap(), &mut open);
    assert!(open.is_empty(), "these objects accept unknown names: {open:?}");
}

#[tokio::test]
async fn every_property_of_the_schema_has_a_default_value() {
    // Helm validates the defaults with every command, so every default value is in the schema.
    let root = super::super::harness::root();
    let read = |file: &str| std::fs::read_to_string(root.join("charts/maglev").join(file)).unwrap();
    let values: serde_json::Value = serde_saphyr::from_str(&read("values.yaml")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let mut missing = Vec::new();
    collect_missing("", &schema, &schema, &values, &mut missing);
    assert!(missing.is_empty(), "not in values.yaml: {missing:?}");
}

/// Collects the properties of the schema that the default values do not have.
fn collect_missing(
    path: &str,
    root: &serde_json::Value,
    schema: &serde_json::Value,
    values: &serde_json::Value,
    missing: &mut Vec<String>,
) {
    let properties = schema.get("properties").and_then(|properties| properties.as_object());
    for (name, inside) in properties.into_iter().flatten() {
        let path = format!("{path}.{name}");
        let reference = inside.get("$ref").and_then(|value| value.as_str()).map(|text| text.trim_start_matches('#'));
        // Kubernetes' own types need no defaults; `global` and the condition `enabled` belong to a parent chart.
        let is_kubernetes_type = reference
            .is_some_and(|pointer| ["/resources", "/affinity", "trategy"].iter().any(|end| pointer.ends_with(end)));
        let inside = reference.and_then(|pointer| root.pointer(pointer)).unwrap_or(inside);
        match values.get(name) {
            // A removed value is only in the schema, so that the templates can name its replacement.
            None if inside["deprecated"] == true => {}
            None if path != ".global" && path != ".enabled" => missing.push(path),
            Some(values) if !is_kubernetes_type => collect_missing(&path, root, inside, values, missing),
            _ => {}
        }
    }
}

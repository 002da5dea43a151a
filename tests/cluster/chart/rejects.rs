//! What helm refuses to install, and that it says which value is wrong and why.

use super::super::harness::cluster;
use super::template;

/// A wrong value, and what helm says of it.
const WRONG: [(&str, &[&str]); 23] = [
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
async fn a_wrong_value_is_refused_by_its_name_with_what_is_allowed() {
    let cluster = cluster().await;
    for (wrong, named) in WRONG {
        let refused = template(cluster, "maglev", &["--set", wrong]).await.unwrap_err();
        for word in named {
            assert!(refused.contains(word), "{wrong}: {word} is not in {refused}");
        }
    }
}

#[tokio::test]
async fn no_name_in_the_schema_lets_anything_else_in() {
    fn open(at: &str, schema: &serde_json::Value, found: &mut Vec<String>) {
        if let Some(object) = schema.as_object() {
            if object.contains_key("properties") && object.get("additionalProperties") != Some(&false.into()) {
                found.push(at.to_owned());
            }
            object.iter().for_each(|(key, inside)| open(&format!("{at}/{key}"), inside, found));
        }
    }
    let root = super::super::harness::root();
    let text = std::fs::read_to_string(root.join("charts/maglev/values.schema.json")).unwrap();
    let mut found = Vec::new();
    open("", &serde_json::from_str(&text).unwrap(), &mut found);
    assert!(found.is_empty(), "these take whatever is given: {found:?}");
}

#[tokio::test]
async fn every_value_that_there_is_has_its_place_in_the_schema() {
    // Helm validates the defaults with every command; what the defaults lack, the schema must not have either.
    let root = super::super::harness::root();
    let read = |file: &str| std::fs::read_to_string(root.join("charts/maglev").join(file)).unwrap();
    let values: serde_json::Value = serde_saphyr::from_str(&read("values.yaml")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let mut missing = Vec::new();
    documented("", &schema, &schema, &values, &mut missing);
    assert!(missing.is_empty(), "values.yaml does not show {missing:?}");
}

/// Collects the properties of the schema that the default values do not have.
fn documented(
    at: &str,
    root: &serde_json::Value,
    schema: &serde_json::Value,
    values: &serde_json::Value,
    missing: &mut Vec<String>,
) {
    let properties = schema.get("properties").and_then(|properties| properties.as_object());
    for (name, inside) in properties.into_iter().flatten() {
        let at = format!("{at}.{name}");
        let reference = inside.get("$ref").and_then(|of| of.as_str()).map(|of| of.trim_start_matches('#'));
        // Kubernetes' own words need no example, and `global` is Helm's.
        let is_theirs =
            reference.is_some_and(|of| ["/resources", "/affinity", "trategy"].iter().any(|end| of.ends_with(end)));
        let inside = reference.and_then(|of| root.pointer(of)).unwrap_or(inside);
        match values.get(name) {
            None if at != ".global" => missing.push(at),
            Some(values) if !is_theirs => documented(&at, root, inside, values, missing),
            _ => {}
        }
    }
}

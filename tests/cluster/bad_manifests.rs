//! The real API server rejects every mistake of `tests/bad_manifests.yaml` with a helpful message.

use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use maglev_model::body_pattern::BodyPattern;
use serde::Deserialize;
use serde_json::{Value, json};

use super::harness::{Cluster, cluster};

/// An entry of the file, which documents the fields at its top.
#[derive(Deserialize)]
struct Mistake {
    mistake: String,
    kind: String,
    spec: Value,
    was: Option<Value>,
    says: Vec<String>,
}

impl Mistake {
    fn object(&self, spec: &Value) -> DynamicObject {
        let object = json!({
            "apiVersion": "maglev.vpp.io/v1alpha1",
            "kind": self.kind,
            "metadata": { "name": self.name() },
            "spec": spec,
        });
        serde_json::from_value(object).unwrap()
    }

    fn name(&self) -> String {
        self.mistake.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
    }

    /// Creates the object, or updates it if there is a previous spec, as a dry run.
    async fn apply(&self, cluster: &Cluster, namespace: &str) -> Result<DynamicObject, kube::Error> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("maglev.vpp.io", "v1alpha1", &self.kind));
        let client = cluster.client().await;
        let api: Api<DynamicObject> = match self.kind.as_str() {
            "LoadBalancerConfig" | "AddressPolicy" => Api::all_with(client, &resource),
            _ => Api::namespaced_with(client, namespace, &resource),
        };
        let (write, dry_run) = (PostParams::default(), PostParams { dry_run: true, ..PostParams::default() });
        let mut object = self.object(&self.spec);
        let Some(was) = &self.was else { return api.create(&dry_run, &object).await };
        object.metadata.resource_version =
            api.create(&write, &self.object(was)).await.unwrap().metadata.resource_version;
        api.replace(&self.name(), &dry_run, &object).await
    }

    /// The difference between the API server's answer and the expected rejection; `None` if there is none.
    async fn difference(&self, cluster: &Cluster, namespace: &str) -> Option<String> {
        match self.apply(cluster, namespace).await {
            Ok(_) => Some(format!("{}: accepted", self.mistake)),
            Err(kube::Error::Api(status)) if status.code == 422 => {
                let missing: Vec<_> = self.says.iter().filter(|text| !status.message.contains(*text)).collect();
                (!missing.is_empty()).then(|| format!("{}: no {missing:?} in {}", self.mistake, status.message))
            }
            Err(other) => Some(format!("{}: {other}", self.mistake)),
        }
    }
}

#[tokio::test]
async fn every_mistake_is_rejected_with_its_field_and_the_allowed_values() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("bad").await;
    let mistakes: Vec<Mistake> = serde_saphyr::from_str(include_str!("../bad_manifests.yaml")).unwrap();
    assert!(mistakes.len() >= 20);
    let mut differences = Vec::new();
    for mistake in &mistakes {
        differences.extend(mistake.difference(cluster, &namespace).await);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test]
async fn misspelt_field_is_rejected() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("misspelt").await;
    let manifest = "apiVersion: maglev.vpp.io/v1alpha1\nkind: Backend\nmetadata: {name: a}\nspec: {address: 192.0.2.1, adminstate: Paused}\n";
    let output = cluster.kubectl_with(&["apply", "-n", &namespace, "-f", "-"], manifest).await;
    let answer = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && answer.contains("unknown field \"spec.adminstate\""), "{answer}");
}

/// Patterns with the verdict of Go's `regexp`; the API server judges `expectedBody` with it, too.
#[derive(Deserialize)]
struct GoPatterns {
    patterns: Vec<GoPattern>,
}

#[derive(Deserialize)]
struct GoPattern {
    pattern: String,
    /// `None` if the pattern does not compile.
    matches: Option<Vec<usize>>,
}

#[tokio::test]
async fn pattern_that_is_accepted_is_usable_by_the_agents() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("patterns").await;
    let file: GoPatterns = serde_json::from_str(include_str!("../wire/data/go_patterns.json")).unwrap();
    let checks: Api<DynamicObject> = Api::namespaced_with(
        cluster.client().await,
        &namespace,
        &ApiResource::from_gvk(&GroupVersionKind::gvk("maglev.vpp.io", "v1alpha1", "HealthCheck")),
    );
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let (mut differences, mut accepted) = (Vec::new(), 0);
    for GoPattern { pattern, matches } in &file.patterns {
        let object = json!({
            "apiVersion": "maglev.vpp.io/v1alpha1", "kind": "HealthCheck", "metadata": { "name": "pattern" },
            "spec": { "type": "HTTP", "port": 80, "http": { "expectedBody": pattern } },
        });
        match checks.create(&dry_run, &serde_json::from_value(object).unwrap()).await {
            Ok(_) => {
                accepted += 1;
                if let Err(error) = BodyPattern::new(pattern).compiled() {
                    differences.push(format!("{pattern}: accepted, but not usable: {error}"));
                }
                if matches.is_none() {
                    differences.push(format!("{pattern}: accepted, but Go does not compile it"));
                }
            }
            Err(kube::Error::Api(status)) if status.code == 422 => {}
            Err(other) => differences.push(format!("{pattern}: {other}")),
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(accepted >= 60, "{accepted}");
}

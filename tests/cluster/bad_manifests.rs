//! Every mistake of `tests/bad_manifests.yaml` is refused by the real API server, in words that help.

use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use serde::Deserialize;
use serde_json::{Value, json};

use super::harness::{Cluster, cluster};

/// One entry of the file; its head says what the fields mean.
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

    /// What the API server answers to it.
    async fn answer(&self, cluster: &Cluster, namespace: &str) -> Result<DynamicObject, kube::Error> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("maglev.vpp.io", "v1alpha1", &self.kind));
        let client = cluster.client().await;
        let api: Api<DynamicObject> = match self.kind.as_str() {
            "LoadBalancerConfig" => Api::all_with(client, &resource),
            _ => Api::namespaced_with(client, namespace, &resource),
        };
        let (really, only_ask) = (PostParams::default(), PostParams { dry_run: true, ..PostParams::default() });
        let mut object = self.object(&self.spec);
        let Some(was) = &self.was else { return api.create(&only_ask, &object).await };
        object.metadata.resource_version =
            api.create(&really, &self.object(was)).await.unwrap().metadata.resource_version;
        api.replace(&self.name(), &only_ask, &object).await
    }

    /// What is wrong with the answer.
    async fn complaint(&self, cluster: &Cluster, namespace: &str) -> Option<String> {
        match self.answer(cluster, namespace).await {
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
async fn every_mistake_is_refused_with_the_field_and_what_is_allowed() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("bad").await;
    let mistakes: Vec<Mistake> = serde_saphyr::from_str(include_str!("../bad_manifests.yaml")).unwrap();
    assert!(mistakes.len() >= 20);
    let mut complaints = Vec::new();
    for mistake in &mistakes {
        complaints.extend(mistake.complaint(cluster, &namespace).await);
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[tokio::test]
async fn a_misspelt_field_is_refused() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("misspelt").await;
    let manifest = "apiVersion: maglev.vpp.io/v1alpha1\nkind: Backend\nmetadata: {name: a}\nspec: {address: 192.0.2.1, adminstate: Paused}\n";
    let output = cluster.kubectl_with(&["apply", "-n", &namespace, "-f", "-"], manifest).await;
    let answer = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && answer.contains("unknown field \"spec.adminstate\""), "{answer}");
}

//! Resolves a HealthCheck of a manifest as the agent would resolve the applied object. Called by `maglevd probe`; needs no
//! API server.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::Value;

use super::{Holder, HolderContent, HolderKind, Index, IndexOptions, Meta, NodeObject, Object, Stored, Unreadable};
use maglev_crd::HealthCheckSpec;
use maglev_model::{
    Name,
    config::{HealthCheck, Kind, Revision},
    problem::{Problem, Reason},
};

/// The namespace of objects without `metadata.namespace`.
const NAMESPACE: &str = "default";

/// Errors of resolving a HealthCheck of a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The text is not valid YAML.
    #[error("cannot read the manifest: {0}")]
    Syntax(String),
    /// The manifest has no such HealthCheck.
    #[error("the manifest has no HealthCheck{}", named(.0.as_deref()))]
    None(Option<String>),
    /// The manifest has several HealthChecks.
    #[error("the manifest has several HealthChecks; choose one by its name: {}", .0.join(", "))]
    Several(Vec<String>),
    /// The agent would reject the HealthCheck.
    #[error("{}", .0.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>().join("; "))]
    Rejected(Vec<Problem>),
}

fn named(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!(" {name:?}"))
}

/// A HealthCheck of a manifest, with the Secrets and ConfigMaps of the manifest.
pub struct Manifest {
    name: Name,
    check: Stored<HealthCheckSpec>,
    objects: Vec<Value>,
}

impl Manifest {
    /// Reads YAML or JSON: one or several documents, or a list. `name` selects one of several HealthChecks.
    ///
    /// # Errors
    /// If the text is not valid YAML or does not have exactly one such HealthCheck.
    pub fn read(text: &str, name: Option<&str>) -> Result<Self, ManifestError> {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(text).map_err(|error| ManifestError::Syntax(error.to_string()))?;
        let objects: Vec<Value> = documents.into_iter().flat_map(items).collect();
        let is_match = |object: &&Value| {
            let own = object.pointer("/metadata/name").and_then(Value::as_str);
            kind(object) == "HealthCheck" && name.is_none_or(|name| own == Some(name))
        };
        let matches: Vec<&Value> = objects.iter().filter(is_match).collect();
        let check = match matches[..] {
            [check] => check,
            [] => return Err(ManifestError::None(name.map(str::to_owned))),
            _ => {
                return Err(ManifestError::Several(
                    matches.into_iter().map(|check| name_of(check).name().to_owned()).collect(),
                ));
            }
        };
        let spec = check.get("spec").cloned().unwrap_or_default();
        let decoded = HealthCheckSpec::deserialize(&spec);
        let meta = Meta {
            name: name_of(check),
            revision: Revision { uid: "manifest".into(), generation: 1 },
            created: Timestamp::UNIX_EPOCH,
        };
        let spec = decoded.map_err(|error| Unreadable { spec, error: error.to_string() });
        Ok(Self { name: meta.name.clone(), check: Stored { meta, spec }, objects })
    }

    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Resolves the HealthCheck with its certificates. Certificates that are not in the manifest are read with `read`.
    ///
    /// # Errors
    /// If the agent would reject the HealthCheck.
    pub async fn resolve(
        self,
        icmp_missing: Option<String>,
        read: impl AsyncFn(&Holder) -> HolderContent,
    ) -> Result<Arc<HealthCheck>, ManifestError> {
        let node_name = "node";
        let options = IndexOptions { node_name: Some(node_name.to_owned()), icmp_missing, ..IndexOptions::default() };
        let (mut index, config_rx) = Index::new(options);
        let mut batch = index.batch();
        for kind in Kind::ALL {
            batch.reset(kind, vec![]);
        }
        batch.apply(Object::Node(NodeObject { name: node_name.to_owned(), ..NodeObject::default() }));
        batch.apply(Object::HealthCheck(self.check));
        batch.publish();
        for holder in index.required_certificates() {
            let content = match self.objects.iter().find_map(|object| content(object, &holder)) {
                Some(content) => content,
                None => read(&holder).await,
            };
            let mut batch = index.batch();
            batch.apply_certificates(&holder, content);
            batch.publish();
        }
        // The agent uses a HealthCheck with a literal secret all the same.
        let is_fatal = |problem: &&Problem| problem.reason != Reason::LiteralSecret;
        let problems: Vec<Problem> =
            index.problems(Kind::HealthCheck, &self.name).iter().filter(is_fatal).cloned().collect();
        let config = config_rx.borrow().clone();
        let check = config.and_then(|config| config.health_checks.get(&self.name).cloned());
        check.filter(|_| problems.is_empty()).ok_or(ManifestError::Rejected(problems))
    }
}

/// The objects of a document, which may be a list.
fn items(document: Value) -> Vec<Value> {
    match document.get("items").and_then(Value::as_array) {
        Some(items) => items.clone(),
        None if document.is_null() => vec![],
        None => vec![document],
    }
}

fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or_default()
}

fn name_of(object: &Value) -> Name {
    let text = |key: &str| object.pointer(key).and_then(Value::as_str);
    Name::namespaced(text("/metadata/namespace").unwrap_or(NAMESPACE), text("/metadata/name").unwrap_or_default())
}

/// The content of `holder` if `object` is that Secret or ConfigMap.
fn content(object: &Value, holder: &Holder) -> Option<HolderContent> {
    let kind = holder.kind;
    if self::kind(object) != kind.as_str() || name_of(object) != holder.name {
        return None;
    }
    let value = |key: &str| {
        let entry = |map: &str| object.get(map).and_then(|map| map.get(key)).cloned();
        let plain = match kind {
            HolderKind::Secret => entry("stringData"),
            HolderKind::ConfigMap => entry("data"),
        };
        let encoded = match kind {
            HolderKind::Secret => entry("data"),
            HolderKind::ConfigMap => entry("binaryData"),
        };
        match (plain, encoded) {
            (Some(Value::String(plain)), _) => Some(plain.into_bytes()),
            (_, Some(encoded)) => k8s_openapi::ByteString::deserialize(encoded).ok().map(|bytes| bytes.0),
            _ => None,
        }
    };
    let data = holder.keys().into_iter().filter_map(|key| Some((key.to_owned(), value(key)?))).collect();
    Some(HolderContent::Found(data))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use maglev_model::config::Probe;

    const CHECK: &str = "
apiVersion: maglev.vpp.io/v1alpha1
kind: HealthCheck
metadata: {name: web}
spec: {type: HTTPS, port: 443, http: {host: a.example}, tls: {caCertificateRef: {name: ca}}}
";

    async fn resolved(text: &str, name: Option<&str>) -> Result<Arc<HealthCheck>, String> {
        let missing = async |holder: &Holder| {
            assert_eq!(holder.name.as_str(), "default/ca");
            HolderContent::Missing
        };
        let manifest = Manifest::read(text, name).map_err(|error| error.to_string())?;
        manifest.resolve(None, missing).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn check_is_resolved_with_certificates_of_the_manifest() {
        let certified = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap().cert.pem();
        let map = json!({"kind": "ConfigMap", "metadata": {"name": "ca"}, "data": {"ca.crt": certified}});
        for text in [format!("{CHECK}---\n{map}"), format!("{map}\n---\n{CHECK}\n---\n")] {
            let check = resolved(&text, None).await.unwrap();
            let Probe::Http { tls: Some(tls), .. } = &check.probe else { panic!("{:?}", check.probe) };
            assert_eq!(tls.authorities.as_ref().unwrap().certificates.len(), 1);
        }
        let error = resolved(CHECK, None).await.unwrap_err();
        assert!(error.contains("ConfigMap default/ca, which does not exist"), "{error}");
    }

    #[tokio::test]
    async fn name_selects_one_of_several_checks() {
        let tcp = |name: &str| json!({"kind": "HealthCheck", "metadata": {"name": name, "namespace": "shop"}, "spec": {"type": "TCP", "port": 1}});
        let list = json!({"kind": "List", "items": [tcp("a"), {"kind": "Pod"}, tcp("b")]}).to_string();
        assert_eq!(resolved(&list, Some("b")).await.unwrap().name.as_str(), "shop/b");
        for (name, text) in [(None, "choose one by its name: a, b"), (Some("c"), "has no HealthCheck \"c\"")] {
            let error = resolved(&list, name).await.unwrap_err();
            assert!(error.contains(text), "{error}");
        }
        assert!(resolved("{", None).await.unwrap_err().contains("cannot read the manifest"));
        assert!(resolved("", None).await.unwrap_err().contains("has no HealthCheck"));
    }

    #[tokio::test]
    async fn rejected_check_reports_the_problems_of_the_agent() {
        let invalid = CHECK.replace("443", "70000");
        assert!(resolved(&invalid, None).await.unwrap_err().contains("spec.port cannot be read"));
        let icmp = "{kind: HealthCheck, metadata: {name: ping}, spec: {type: ICMP}}";
        let unable =
            Manifest::read(icmp, None).unwrap().resolve(Some("no".into()), async |_| HolderContent::Missing).await;
        let Err(ManifestError::Rejected(problems)) = unable else { panic!("it cannot be probed") };
        assert_eq!(problems[0].reason, Reason::MissingCapability);
    }
}

//! Asks the API server for the object that applying a manifest would store. Nothing is written: every request is a dry run
//! on the server, which sets defaults and validates as for a write.
//!
//! ```text
//!  manifest ─▶ does the object exist? ── no ──────────────────────────▶ server-side apply
//!                      └─ yes ─▶ was it made by server-side apply? ─ yes ─▶ server-side apply by the same field manager
//!                                         └─ no ─▶ merge patch from the last applied manifest, as `kubectl apply` does
//! ```
//!
//! Called by `cli`, for its preview of manifests.

mod merge_patch;

use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams, ValidationDirective},
    core::{DynamicObject, Status},
};
use serde_json::{Value, json};

use super::{kinds, raw_object::RawObject};
use maglev_index::Object;
use maglev_model::{Name, config::Kind};

/// The field manager of new objects, and of objects that no server-side apply has made.
const MANAGER: &str = "kubectl";
/// The group of the kinds that have a preview.
const GROUP: &str = "maglev.vpp.io/";
/// The kinds that have a preview.
const KINDS: [Kind; 5] =
    [Kind::HealthCheck, Kind::Backend, Kind::Frontend, Kind::LoadBalancerConfig, Kind::AddressPolicy];

/// A manifest of a kind that has a preview.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    kind: Kind,
    name: Name,
    json: Value,
}

/// The result of a dry run.
#[derive(Clone, Debug)]
pub struct DryRun {
    /// The object that would be stored.
    pub object: Object,
    /// The difference from the stored object.
    pub effect: DryRunEffect,
}

/// The difference between the object that would be stored and the stored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DryRunEffect {
    Created,
    Configured,
    Unchanged,
}

impl DryRunEffect {
    /// The word that kubectl prints.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// The API server would not store the object.
#[derive(Debug, thiserror::Error)]
pub enum DryRunError {
    /// Another field manager owns fields that the manifest changes.
    #[error("{kind} {name}: {conflicts}; change the fields there, leave them out of the manifest, or use --force")]
    Conflict {
        kind: &'static str,
        name: Name,
        /// Each field with its owner.
        conflicts: String,
    },
    /// The API server refuses the object.
    #[error("{kind} {name}: {message}")]
    Refused {
        kind: &'static str,
        name: Name,
        /// The API server's message, which names the field.
        message: String,
    },
    /// The API server did not answer.
    #[error("cannot {step} {kind} {name}")]
    Api {
        /// A verb: "read" or "validate".
        step: &'static str,
        kind: &'static str,
        name: Name,
        #[source]
        source: Box<kube::Error>,
    },
}

impl Manifest {
    /// The manifest in `json`; `None` for any other kind. An object without namespace is in `namespace`.
    pub fn new(json: &Value, namespace: &str) -> Option<Self> {
        let text = |pointer: &str| json.pointer(pointer).and_then(Value::as_str);
        text("/apiVersion").filter(|version| version.starts_with(GROUP))?;
        let kind = KINDS.into_iter().find(|kind| text("/kind") == Some(kind.as_str()))?;
        let name = text("/metadata/name").unwrap_or_default();
        let name = match kind {
            Kind::HealthCheck | Kind::Backend | Kind::Frontend => {
                Name::namespaced(text("/metadata/namespace").unwrap_or(namespace), name)
            }
            _ => Name::cluster(name),
        };
        let mut json = json.clone();
        if let Some(object) = json.as_object_mut() {
            // Written by the controller only.
            object.remove("status");
        }
        if let Some(metadata) = json.get_mut("metadata").and_then(Value::as_object_mut)
            && !name.namespace().is_empty()
        {
            metadata.insert("namespace".to_owned(), json!(name.namespace()));
        }
        Some(Self { kind, name, json })
    }

    pub fn kind(&self) -> &'static str {
        self.kind.as_str()
    }

    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The object that applying the manifest would store. `force` takes fields from other field managers.
    ///
    /// # Errors
    /// The API server would not store the object, or did not answer.
    pub async fn dry_run(&self, client: &Client, force: bool) -> Result<DryRun, DryRunError> {
        let resource = kinds::resource(self.kind);
        let api: Api<DynamicObject> = match self.name.namespace() {
            "" => Api::all_with(client.clone(), &resource),
            namespace => Api::namespaced_with(client.clone(), namespace, &resource),
        };
        let stored = api.get_opt(self.name.name()).await.map_err(|error| self.error("read", error))?;
        let (patch, manager) = match &stored {
            None => (Patch::Apply(self.json.clone()), Some(MANAGER.to_owned())),
            Some(stored) => match merge_patch::applier(stored) {
                Some(manager) => (Patch::Apply(self.json.clone()), Some(manager)),
                None => (Patch::Merge(merge_patch::merge_patch(&self.json, stored)), None),
            },
        };
        let force = force && matches!(patch, Patch::Apply(_));
        let params = PatchParams {
            dry_run: true,
            force,
            field_manager: manager,
            field_validation: Some(ValidationDirective::Strict),
        };
        let answer = api.patch(self.name.name(), &params, &patch).await;
        let after = answer.map_err(|error| self.error("validate", error))?;
        let effect = match &stored {
            None => DryRunEffect::Created,
            Some(before) if merge_patch::is_equal(before, &after) => DryRunEffect::Unchanged,
            Some(_) => DryRunEffect::Configured,
        };
        let raw = serde_json::to_value(&after).and_then(serde_json::from_value::<RawObject>);
        let raw = raw.map_err(|error| self.error("read", kube::Error::SerdeError(error)))?;
        Ok(DryRun { object: raw.object(self.kind), effect })
    }

    fn error(&self, step: &'static str, error: kube::Error) -> DryRunError {
        let (kind, name) = (self.kind.as_str(), self.name.clone());
        match error {
            kube::Error::Api(status) => match conflicts(&status) {
                Some(conflicts) => DryRunError::Conflict { kind, name, conflicts },
                None => DryRunError::Refused { kind, name, message: status.message },
            },
            source => DryRunError::Api { step, kind, name, source: Box::new(source) },
        }
    }
}

/// The conflicts of a server-side apply, each with its field and owner; `None` for any other answer.
fn conflicts(status: &Status) -> Option<String> {
    if status.code != 409 {
        return None;
    }
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let texts: Vec<String> = causes.map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// Every object of `kind`, including those that do not decode.
///
/// # Errors
/// If the API server refuses the list or does not answer.
pub async fn list_objects(client: &Client, kind: Kind) -> kube::Result<Vec<Object>> {
    let api: Api<RawObject> = Api::all_with(client.clone(), &kinds::resource(kind));
    Ok(api.list(&ListParams::default()).await?.items.iter().map(|raw| raw.object(kind)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(json: &Value) -> Option<(&'static str, String)> {
        Manifest::new(json, "shop").map(|manifest| (manifest.kind(), manifest.name().to_string()))
    }

    #[test]
    fn manifests_of_other_kinds_have_no_preview() {
        let object = |version: &str, kind: &str, namespace: Value| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a", "namespace": namespace}});
        let version = "maglev.vpp.io/v1alpha1";
        assert_eq!(manifest(&object(version, "Backend", json!("x"))), Some(("Backend", "x/a".to_owned())));
        assert_eq!(manifest(&object(version, "Frontend", Value::Null)), Some(("Frontend", "shop/a".to_owned())));
        assert_eq!(manifest(&object(version, "AddressPolicy", Value::Null)), Some(("AddressPolicy", "a".to_owned())));
        for other in [object("v1", "Pod", json!("x")), object(version, "MaglevNode", Value::Null), json!(7)] {
            assert_eq!(manifest(&other), None);
        }
    }

    #[test]
    fn status_of_a_manifest_is_left_out() {
        let json = json!({"apiVersion": "maglev.vpp.io/v1alpha1", "kind": "Backend", "metadata": {"name": "a"}, "status": {"x": 1}});
        let manifest = Manifest::new(&json, "shop").unwrap();
        assert_eq!(manifest.json["metadata"], json!({"name": "a", "namespace": "shop"}));
        assert_eq!(manifest.json.get("status"), None);
    }
}

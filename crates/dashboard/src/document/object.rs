//! The state of one object in Kubernetes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Time;
use maglev_kube::objects::{Object, ObjectKey};

/// A Kubernetes object.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct ObjectInfo {
    #[cfg_attr(test, ts(as = "crate::contract::ObjectKind"))]
    kind: &'static str,
    name: String,
    uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<Time>,
    generation: i64,
    /// Absent if no controller has written a status.
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_generation: Option<i64>,
    /// By type.
    conditions: BTreeMap<String, ConditionDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<LastChange>,
    annotations: BTreeMap<String, String>,
    /// Commands that show the object.
    kubectl: [String; 2],
}

/// A condition of an object's status.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct ConditionDetail {
    #[cfg_attr(test, ts(type = r#""True" | "False" | "Unknown""#))]
    status: String,
    reason: String,
    message: String,
    since: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<i64>,
}

/// The last change of the spec.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct LastChange {
    /// Name of the field manager.
    by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Time>,
    #[cfg_attr(test, ts(type = r#""Apply" | "Update""#))]
    operation: String,
}

impl ObjectInfo {
    pub fn new(key: &ObjectKey, object: &Object) -> Self {
        let conditions = object.conditions.iter().map(|condition| {
            let detail = ConditionDetail {
                status: condition.status.clone(),
                reason: condition.reason.clone(),
                message: condition.message.clone(),
                since: Time(condition.since),
                generation: condition.observed_generation,
            };
            (condition.type_.clone(), detail)
        });
        let changed = object.changed.as_ref().map(|changed| LastChange {
            by: changed.by.clone(),
            at: changed.at.map(Time),
            operation: changed.operation.clone(),
        });
        Self {
            kind: key.kind.as_str(),
            name: key.name.to_string(),
            uid: object.uid.clone(),
            created: object.created.map(Time),
            generation: object.generation,
            observed_generation: object.observed_generation,
            conditions: conditions.collect(),
            changed,
            annotations: object.annotations.clone(),
            kubectl: kubectl(key),
        }
    }
}

/// The commands use the full name of the resource, because another group may have the same short name.
fn kubectl(key: &ObjectKey) -> [String; 2] {
    let (resource, name) = (key.kind.resource(), key.name.name());
    let scope = match key.name.namespace() {
        "" => String::new(),
        namespace => format!("--namespace {namespace} "),
    };
    [
        format!("kubectl {scope}get {resource} {name} --output yaml"),
        format!("kubectl {scope}describe {resource} {name}"),
    ]
}

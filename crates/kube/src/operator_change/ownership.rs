//! Owners of fields and the last writer of an object, from `metadata.managedFields`.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::Value;

use super::{MANAGER, patch};

/// A step of a field's path.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// The field of this name.
    Field(&'a str),
    /// The item of a map-type list with this `name`.
    Item(&'a str),
}

/// The managers other than [`MANAGER`] that own the field at `path`, each in the form `kubectl (Apply)`.
pub fn owners(metadata: &ObjectMeta, path: &[Step<'_>]) -> Vec<String> {
    let mut owners: Vec<String> = entries(metadata).filter(|entry| owns(entry, path)).map(describe).collect();
    owners.sort();
    owners.dedup();
    owners.retain(|owner| !owner.starts_with(&format!("{MANAGER} ")));
    owners
}

fn entries(metadata: &ObjectMeta) -> impl Iterator<Item = &ManagedFieldsEntry> {
    metadata.managed_fields.iter().flatten()
}

fn describe(entry: &ManagedFieldsEntry) -> String {
    let unnamed = || "(not named)".to_owned();
    let (manager, operation) = (entry.manager.clone(), entry.operation.clone());
    format!("{} ({})", manager.unwrap_or_else(unnamed), operation.unwrap_or_else(unnamed))
}

fn owns(entry: &ManagedFieldsEntry, path: &[Step<'_>]) -> bool {
    let Some(fields) = entry.fields_v1.as_ref() else { return false };
    let end = path.iter().try_fold(&fields.0, |fields, step| match step {
        Step::Field(name) => fields.get(format!("f:{name}")),
        Step::Item(name) => fields.as_object()?.iter().find(|(key, _)| names(key, name)).map(|(_, fields)| fields),
    });
    end.is_some()
}

/// True if the key of a list's item, such as `k:{"name":"web-1"}`, has this `name`.
fn names(key: &str, name: &str) -> bool {
    let key = key.strip_prefix("k:").and_then(|key| serde_json::from_str::<Value>(key).ok());
    key.is_some_and(|key| key.get("name").and_then(Value::as_str) == Some(name))
}

/// The last writer of an object, not counting its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastWriter {
    /// The field manager.
    pub manager: String,
    pub at: Option<Timestamp>,
    /// The operator's name, for an operator change.
    pub by: Option<String>,
    /// The operator's reason, if given.
    pub reason: Option<String>,
}

/// The last writer of an object, not counting its status; `None` without managed fields.
pub fn last_writer(metadata: &ObjectMeta) -> Option<LastWriter> {
    let written = |entry: &&ManagedFieldsEntry| entry.subresource.as_deref().unwrap_or_default().is_empty();
    let last = entries(metadata).filter(written).max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    let manager = last.manager.clone()?;
    let annotation = |key: &str| metadata.annotations.as_ref()?.get(key).cloned();
    let is_operator = manager == MANAGER;
    Some(LastWriter {
        at: last.time.as_ref().and_then(|time| Timestamp::from_second(time.0.as_second()).ok()),
        by: annotation(patch::BY).filter(|_| is_operator),
        reason: annotation(patch::REASON).filter(|_| is_operator),
        manager,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const WEIGHT: [Step<'_>; 6] = [
        Step::Field("spec"),
        Step::Field("pools"),
        Step::Item("primary"),
        Step::Field("backends"),
        Step::Item("web-1"),
        Step::Field("weight"),
    ];

    fn entry(manager: &str, subresource: &str, time: &str, pools: &Value) -> Value {
        let fields = json!({"f:spec": {"f:pools": pools}});
        json!({"manager": manager, "operation": "Apply", "fieldsV1": fields, "subresource": subresource, "time": time})
    }

    fn metadata(entries: &[Value]) -> ObjectMeta {
        let annotations = json!({patch::BY: "ada", patch::REASON: "too hot"});
        serde_json::from_value(json!({"managedFields": entries, "annotations": annotations})).unwrap()
    }

    #[test]
    fn owner_of_a_weight_differs_from_owner_of_its_member() {
        let member =
            json!({r#"k:{"name":"primary"}"#: {"f:backends": {r#"k:{"name":"web-1"}"#: {".": {}, "f:name": {}}}}});
        let weight = json!({r#"k:{"name":"primary"}"#: {"f:backends": {r#"k:{"name":"web-1"}"#: {"f:weight": {}}}}});
        let other = json!({r#"k:{"name":"primary"}"#: {"f:backends": {r#"k:{"name":"web-2"}"#: {"f:weight": {}}}}});
        let time = "2026-11-23T00:00:00Z";
        let entries = [("a", &member), ("b", &weight), ("c", &other), (MANAGER, &weight)];
        let entries = entries.map(|(manager, pools)| entry(manager, "", time, pools));
        assert_eq!(owners(&metadata(&entries), &WEIGHT), ["b (Apply)"]);
        assert_eq!(owners(&metadata(&entries), &WEIGHT[..5]), ["a (Apply)", "b (Apply)"]);
        assert!(owners(&ObjectMeta::default(), &WEIGHT).is_empty());
    }

    #[test]
    fn status_writer_is_not_the_last_writer() {
        let early = entry("kubectl", "", "2026-11-23T00:00:00Z", &json!({}));
        let late = entry(MANAGER, "", "2026-11-23T00:01:00Z", &json!({}));
        let status = entry("maglev-controller", "status", "2026-11-23T00:02:00Z", &json!({}));
        let writer = last_writer(&metadata(&[late, early.clone(), status.clone()])).unwrap();
        assert_eq!(
            (&*writer.manager, writer.by.as_deref(), writer.reason.as_deref()),
            (MANAGER, Some("ada"), Some("too hot"))
        );
        let writer = last_writer(&metadata(&[early, status])).unwrap();
        assert_eq!(
            (&*writer.manager, writer.by),
            ("kubectl", None),
            "the annotations belong to an older operator change"
        );
        assert_eq!(last_writer(&ObjectMeta::default()), None);
    }
}

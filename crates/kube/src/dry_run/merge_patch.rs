//! The merge patch of `kubectl apply`: what the manifest sets, and the removal of what the last applied manifest set and
//! this one does not.

use kube::core::DynamicObject;
use serde_json::{Map, Value};

/// The annotation in which `kubectl apply` records the manifest.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The field manager that made `stored` by server-side apply: the first one that owns a part of its spec.
pub fn applier(stored: &DynamicObject) -> Option<String> {
    let entries = stored.metadata.managed_fields.iter().flatten();
    let mut applied = entries.filter(|entry| {
        let owns_spec = entry.fields_v1.as_ref().is_some_and(|fields| fields.0.get("f:spec").is_some());
        entry.operation.as_deref() == Some("Apply") && owns_spec && entry.subresource.is_none()
    });
    applied.find_map(|entry| entry.manager.clone())
}

/// The merge patch from `stored` to `manifest`.
pub fn merge_patch(manifest: &Value, stored: &DynamicObject) -> Value {
    let annotations = stored.metadata.annotations.as_ref();
    let last = annotations.and_then(|all| serde_json::from_str(all.get(LAST_APPLIED)?).ok()).unwrap_or(Value::Null);
    let current = serde_json::to_value(stored).unwrap_or_default();
    let mut patch = Map::new();
    for part in ["spec", "metadata"] {
        let in_part = |object: &Value| {
            let mut value = object.get(part).cloned().unwrap_or_default();
            if let Some(metadata) = value.as_object_mut().filter(|_| part == "metadata") {
                metadata.retain(|key, _| matches!(key.as_str(), "labels" | "annotations"));
                // Those of other clients stay even if the manifest has none.
                for key in ["labels", "annotations"] {
                    metadata.entry(key).or_insert_with(|| Map::new().into());
                }
            }
            value
        };
        if let Some(part_patch) = difference(&in_part(&last), &in_part(manifest), &in_part(&current)) {
            patch.insert(part.to_owned(), part_patch);
        }
    }
    Value::Object(patch)
}

/// The patch from `current` to `new`, without the fields that `last` does not have and `new` does not set; `None` if it is
/// empty.
fn difference(last: &Value, new: &Value, current: &Value) -> Option<Value> {
    let (Value::Object(new_fields), Value::Object(current_fields)) = (new, current) else {
        return (new != current && !new.is_null()).then(|| new.clone());
    };
    let mut patch = Map::new();
    for (key, value) in new_fields {
        let change =
            difference(last.get(key).unwrap_or(&Value::Null), value, current_fields.get(key).unwrap_or(&Value::Null));
        patch.extend(change.map(|change| (key.clone(), change)));
    }
    for key in last.as_object().into_iter().flat_map(Map::keys) {
        if !new_fields.contains_key(key) && current_fields.contains_key(key) {
            patch.insert(key.clone(), Value::Null);
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// True if both have the same spec, labels and annotations.
pub fn is_equal(before: &DynamicObject, after: &DynamicObject) -> bool {
    before.data.get("spec") == after.data.get("spec")
        && before.metadata.labels == after.metadata.labels
        && before.metadata.annotations == after.metadata.annotations
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stored(json: Value) -> DynamicObject {
        serde_json::from_value(json).expect("an object")
    }

    #[test]
    fn patch_sets_what_differs_and_removes_what_was_applied_before() {
        let last = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"address": "10.0.0.1", "adminState": "Paused", "check": {"x": 1}}});
        let object = stored(json!({
            "metadata": {
                "name": "web-1", "uid": "u", "labels": {"a": "1", "by-hand": "2"},
                "annotations": {LAST_APPLIED: last.to_string()},
            },
            "spec": {"address": "10.0.0.1", "adminState": "Paused", "check": {"x": 1, "default": 3}, "list": [1]},
        }));
        let manifest =
            json!({"metadata": {"name": "web-1"}, "spec": {"address": "10.0.0.2", "check": {"x": 1}, "list": [1, 2]}});
        let expected = json!({
            "spec": {"address": "10.0.0.2", "adminState": null, "list": [1, 2]},
            "metadata": {"labels": {"a": null}},
        });
        assert_eq!(merge_patch(&manifest, &object), expected);
        assert_eq!(
            merge_patch(&json!({"spec": {"address": "10.0.0.1"}}), &stored(json!({"spec": {"address": "10.0.0.1"}}))),
            json!({})
        );
        let without_record =
            stored(json!({"metadata": {"name": "a"}, "spec": {"address": "10.0.0.1", "adminState": "Paused"}}));
        let patch = merge_patch(&json!({"spec": {"address": "10.0.0.3"}}), &without_record);
        assert_eq!(patch, json!({"spec": {"address": "10.0.0.3"}}), "nothing is known to be removed");
    }

    #[test]
    fn object_of_a_server_side_apply_names_its_manager() {
        let object = |entries: Value| stored(json!({"metadata": {"name": "a", "managedFields": entries}}));
        let entry = |manager: &str, operation: &str, fields: Value| json!({"manager": manager, "operation": operation, "fieldsV1": fields, "fieldsType": "FieldsV1"});
        let spec = || json!({"f:spec": {"f:address": {}}});
        let client_side = object(json!([entry("kubectl-client-side-apply", "Update", spec())]));
        assert_eq!(applier(&client_side), None);
        let labels = entry("labeller", "Apply", json!({"f:metadata": {}}));
        let flux = object(json!([labels, entry("kustomize-controller", "Apply", spec())]));
        assert_eq!(applier(&flux).as_deref(), Some("kustomize-controller"));
    }
}

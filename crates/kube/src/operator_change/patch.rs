//! The JSON patch of a change: the field, and annotations with operator, reason and time.

use jiff::Timestamp;
use json_patch::Patch;
use serde_json::{Value, json};

use super::{ChangeRequest, target::ChangeTarget};

/// Annotation with the last operator change.
pub const CHANGE: &str = "maglev.vpp.io/operator-action";
/// Annotation with the operator's name.
pub const BY: &str = "maglev.vpp.io/operator-action-by";
pub const AT: &str = "maglev.vpp.io/operator-action-at";
pub const REASON: &str = "maglev.vpp.io/operator-action-reason";

/// All operations of the change. Valid only for the resourceVersion that was read.
pub fn patch(request: &ChangeRequest, target: &ChangeTarget, at: Timestamp) -> Patch {
    let mut operations = vec![add("/metadata/resourceVersion", json!(target.metadata.resource_version))];
    if target.metadata.annotations.is_none() {
        operations.push(add("/metadata/annotations", json!({})));
    }
    operations.extend(target.fields.iter().map(|(pointer, value)| match value {
        Some(value) => add(pointer, value.clone()),
        None => remove(pointer),
    }));
    operations.extend(annotations(request, target, at));
    serde_json::from_value(Value::Array(operations)).expect("these are operations of a JSON patch")
}

fn annotations(request: &ChangeRequest, target: &ChangeTarget, at: Timestamp) -> Vec<Value> {
    let change = format!("{}: {} -> {}", request.change, target.old, target.new);
    let existing = target.metadata.annotations.as_ref();
    let mut operations = vec![
        add(&annotation(CHANGE), change.into()),
        add(&annotation(BY), request.by.clone().into()),
        add(&annotation(AT), format!("{at:.0}").into()),
    ];
    match &request.reason {
        Some(reason) => operations.push(add(&annotation(REASON), reason.clone().into())),
        // The reason of an earlier change must not be taken for the reason of this change.
        None if existing.is_some_and(|existing| existing.contains_key(REASON)) => {
            operations.push(remove(&annotation(REASON)));
        }
        None => {}
    }
    operations
}

/// The JSON pointer of an annotation.
pub fn annotation(key: &str) -> String {
    format!("/metadata/annotations/{}", key.replace('/', "~1"))
}

fn remove(path: &str) -> Value {
    json!({"op": "remove", "path": path})
}

fn add(path: &str, value: Value) -> Value {
    let mut operation = json!({"op": "add", "path": path});
    operation["value"] = value;
    operation
}

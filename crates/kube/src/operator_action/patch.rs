//! The JSON patch of a change: the field, who, why and when.

use jiff::Timestamp;
use json_patch::Patch;
use serde_json::{Value, json};

use super::{OperatorAction, target::Target};

/// The annotation that says what was changed by hand last.
pub const WHAT: &str = "maglev.vpp.io/operator-action";
/// Who did it.
pub const BY: &str = "maglev.vpp.io/operator-action-by";
pub const AT: &str = "maglev.vpp.io/operator-action-at";
pub const REASON: &str = "maglev.vpp.io/operator-action-reason";

/// Everything that the change writes, valid for the resourceVersion that was read only.
pub fn patch(action: &OperatorAction, target: &Target, at: Timestamp) -> Patch {
    let mut operations = vec![
        add("/metadata/resourceVersion", json!(target.metadata.resource_version)),
        add(&target.pointer, target.value.clone()),
    ];
    operations.extend(notes(action, target, at));
    serde_json::from_value(Value::Array(operations)).expect("these are operations of a JSON patch")
}

fn notes(action: &OperatorAction, target: &Target, at: Timestamp) -> Vec<Value> {
    let what = format!("{}: {} -> {}", action.change, target.old, target.new);
    let there = target.metadata.annotations.as_ref();
    let pointer = |key: &str| format!("/metadata/annotations/{}", key.replace('/', "~1"));
    let mut operations = Vec::new();
    if there.is_none() {
        operations.push(add("/metadata/annotations", json!({})));
    }
    operations.push(add(&pointer(WHAT), what.into()));
    operations.push(add(&pointer(BY), action.by.clone().into()));
    operations.push(add(&pointer(AT), format!("{at:.0}").into()));
    match &action.reason {
        Some(reason) => operations.push(add(&pointer(REASON), reason.clone().into())),
        // The reason of an earlier change would be read as this one's.
        None if there.is_some_and(|there| there.contains_key(REASON)) => {
            operations.push(json!({"op": "remove", "path": pointer(REASON)}));
        }
        None => {}
    }
    operations
}

fn add(path: &str, value: Value) -> Value {
    let mut operation = json!({"op": "add", "path": path});
    operation["value"] = value;
    operation
}

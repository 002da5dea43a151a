//! The difference between two documents as a JSON merge patch (RFC 7396): the keys that differ, recursively; `null` for a
//! removed key. Arrays and scalars are replaced. Documents contain no `null`, so a patch can express every difference.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

pub fn to_json(document: &impl Serialize) -> Value {
    // Fails only for maps with keys other than strings, which documents do not have.
    serde_json::to_value(document).unwrap_or_default()
}

/// The encoded form of [`to_json`].
pub fn to_bytes(document: &impl Serialize) -> Bytes {
    serde_json::to_vec(document).unwrap_or_default().into()
}

/// The patch from `old` to `new`; `None` if they are equal. A missing `new` is removed, a missing `old` is added.
pub fn between(old: Option<&Value>, new: Option<&Value>) -> Option<Value> {
    match (old, new) {
        (None, None) => None,
        (Some(_), None) => Some(Value::Null),
        (None, Some(new)) => Some(new.clone()),
        (Some(Value::Object(old)), Some(Value::Object(new))) => objects(old, new),
        (Some(old), Some(new)) => (old != new).then(|| new.clone()),
    }
}

fn objects(old: &Map<String, Value>, new: &Map<String, Value>) -> Option<Value> {
    let removed = old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let differing = new.iter().filter_map(|(key, value)| Some((key.clone(), between(old.get(key), Some(value))?)));
    let patch: Map<String, Value> = removed.chain(differing).collect();
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// RFC 7396, section 2.
    pub fn apply(target: &mut Value, patch: &Value) {
        let Value::Object(patch) = patch else {
            *target = patch.clone();
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        let Value::Object(target) = target else { return };
        for (key, value) in patch {
            if value.is_null() {
                target.remove(key);
            } else {
                apply(target.entry(key).or_insert(Value::Null), value);
            }
        }
    }

    #[test]
    fn patch_contains_only_differences() {
        let old = json!({"a": {"x": 1, "y": 2}, "removed": 3, "list": [1, 2], "same": {"z": 1}});
        let new = json!({"a": {"x": 1, "y": 5}, "list": [2], "same": {"z": 1}, "more": {"k": "v"}});
        let patch = between(Some(&old), Some(&new));
        assert_eq!(patch, Some(json!({"a": {"y": 5}, "removed": null, "list": [2], "more": {"k": "v"}})));
        assert_eq!(between(Some(&new), Some(&new)), None);
        assert_eq!(between(Some(&old), None), Some(Value::Null));
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), (0..4).prop_map(Value::from), Just(json!([1, 2]))];
        let value = leaf.prop_recursive(3, 24, 4, |inner| {
            prop::collection::btree_map("[a-c]", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
        });
        prop::collection::btree_map("[a-c]", value, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn applied_patch_yields_the_new_document(old in document(), new in document()) {
            let mut patched = old.clone();
            if let Some(patch) = between(Some(&old), Some(&new)) {
                apply(&mut patched, &patch);
            }
            prop_assert_eq!(patched, new);
        }
    }
}

//! The schema of conditions, and the default conditions before the controller has set any.

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// The schema of `status.conditions`: a map by `type` with at most 12 entries and messages of at most 1 KiB.
pub fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 12,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {
                    "type": "string",
                    "description": "Type of the condition, such as Accepted or Ready.",
                    "maxLength": 316,
                    "minLength": 1,
                },
                "status": { "type": "string", "description": "Status of the condition: True, False or Unknown.", "enum": ["True", "False", "Unknown"] },
                "observedGeneration": {
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                    "description": "The metadata.generation that this condition describes. If it is less than the \
                                    metadata.generation of the object, the controller has not processed the last \
                                    change yet.",
                },
                "lastTransitionTime": {
                    "type": "string",
                    "format": "date-time",
                    "description": "Time of the last change of status.",
                },
                "reason": {
                    "type": "string",
                    "description": "Reason of the status as one PascalCase word, such as BackendNotFound.",
                    "maxLength": 1024,
                    "minLength": 1,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "message": {
                    "type": "string",
                    "description": "Human-readable explanation: the object and field, the value found, and the values allowed.",
                    "maxLength": 1024,
                },
            },
        },
    })
}

/// The default status of a new object: every condition of `types` is `Unknown` with reason `Pending`,
/// as in Gateway API, so that `kubectl wait` finds the conditions from the start.
pub fn pending(types: &[&str]) -> Value {
    let conditions: Vec<Value> = types
        .iter()
        .map(|name| {
            json!({
                "type": name,
                "status": "Unknown",
                "reason": "Pending",
                "message": "Waiting for controller",
                "lastTransitionTime": "1970-01-01T00:00:00Z",
            })
        })
        .collect();
    json!({ "conditions": conditions })
}

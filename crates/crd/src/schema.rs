//! Converts derived schemas to CustomResourceDefinitions that the API server accepts without warnings,
//! and to YAML.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

/// Removes the parts of a derived definition that are valid JSON Schema but not valid in Kubernetes.
pub fn finish(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let mut value = serde_json::to_value(crd).expect("a definition is plain data");
    if let Some(versions) = value.pointer_mut("/spec/versions").and_then(Value::as_array_mut) {
        for schema in versions.iter_mut().filter_map(|version| version.pointer_mut("/schema/openAPIV3Schema")) {
            tidy(schema);
        }
    }
    serde_json::from_value(value).expect("a tidied schema is still one")
}

/// Cleans up one schema, recursively.
///
/// * `nullable` is removed, so that no null is ever stored and CEL's `has()` is reliable: the API
///   server drops nulls from created objects and rejects nulls in a server-side apply.
/// * `description` loses the line breaks of the doc comment; `kubectl explain` wraps for the
///   terminal.
fn tidy(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    object.remove("nullable");
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = unwrap_lines(text);
    }
    for (key, value) in object.iter_mut() {
        match key.as_str() {
            "properties" => value.as_object_mut().into_iter().flatten().for_each(|(_, property)| tidy(property)),
            "items" | "additionalProperties" => tidy(value),
            _ => {}
        }
    }
}

/// Joins the lines of a paragraph or list item; keeps paragraphs and list items on separate lines.
fn unwrap_lines(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines().map(str::trim) {
        let separate = line.is_empty() || line.starts_with("* ") || out.ends_with('\n') || out.is_empty();
        if !out.is_empty() {
            out.push(if separate { '\n' } else { ' ' });
        }
        out.push_str(line);
    }
    out
}

/// The YAML of a definition, as committed in `crds/`.
///
/// # Errors
/// If the definition cannot be written as YAML.
pub fn yaml(crd: &CustomResourceDefinition) -> Result<String, serde_saphyr::SerializeError> {
    let mut value = serde_json::to_value(crd).expect("a definition is plain data");
    whole_numbers(&mut value);
    serde_saphyr::to_string(&value)
}

/// Converts floats without a fraction to integers: `maximum` is a float in the Rust type, and `63` reads better than
/// `63.0`.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0) {
                *value = (float as i64).into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_and_list_items_stay_separate() {
        assert_eq!(unwrap_lines("One\ntwo.\n\nThree\n* a\n* b"), "One two.\n\nThree\n* a\n* b");
    }
}

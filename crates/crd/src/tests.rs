//! Tests of the generated files, of all schemas, and of valid and invalid manifests.
//! `tests/cluster` checks the same manifests against a real API server.

use std::{collections::BTreeSet, env, fs, path::Path};

use kube::{
    CustomResourceExt,
    core::{Resource, cel, object::HasSpec},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::*;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Decodes one object, which applies the defaults, and evaluates the CEL rules of its kind. With `old`, the transition
/// rules of an update are evaluated, too.
fn check<K>(object: &Value, old: Option<&Value>) -> Result<(), Rejection>
where
    K: CustomResourceExt + Resource + HasSpec + Serialize + DeserializeOwned,
{
    let read = |object: &Value| serde_json::from_value::<K>(object.clone());
    let object = read(object).map_err(|error| Rejection { by: "type", message: error.to_string() })?;
    let result = match old {
        Some(old) => cel::validate_cel_update(&object, &read(old).expect("the old object is valid")),
        None => cel::validate_cel(&object),
    };
    result.map_err(|errors| Rejection { by: "rule", message: errors.to_string() })
}

struct Rejection {
    /// The rejecting part: `type` (decoding) or `rule` (CEL).
    by: &'static str,
    message: String,
}

fn check_any(object: &Value, old: Option<&Value>) -> Result<(), Rejection> {
    match object["kind"].as_str().unwrap() {
        "HealthCheck" => check::<HealthCheck>(object, old),
        "Backend" => check::<Backend>(object, old),
        "Frontend" => check::<Frontend>(object, old),
        "LoadBalancerConfig" => check::<LoadBalancerConfig>(object, old),
        "AddressPolicy" => check::<AddressPolicy>(object, old),
        other => panic!("{other} is not a kind that users write"),
    }
}

/// All objects of this API group in `examples/`, with the names of their files.
fn examples() -> Vec<(String, Value)> {
    let mut objects = Vec::new();
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(&path).unwrap()).unwrap();
        let resources = documents.into_iter().filter(|object| object["apiVersion"] == "maglev.vpp.io/v1alpha1");
        objects.extend(resources.map(|object| (file.clone(), object)));
    }
    objects
}

/// Compares `crds/` and the copies in the chart with the types. With `UPDATE_CRDS` set (`make crds`), writes them first.
#[test]
fn generated_files_are_current() {
    for directory in ["crds", "charts/maglev/files/crds"].map(|path| root().join(path)) {
        let mut names = BTreeSet::new();
        for crd in all() {
            let name = format!("{}.yaml", crd.spec.names.plural);
            let (path, expected) = (directory.join(&name), yaml(&crd).unwrap());
            if env::var_os("UPDATE_CRDS").is_some() {
                fs::create_dir_all(&directory).unwrap();
                fs::write(&path, &expected).unwrap();
            }
            let content = fs::read_to_string(&path).unwrap_or_default();
            assert!(content == expected, "{} is not current: run make crds", path.display());
            names.insert(name);
        }
        let entries = fs::read_dir(&directory).unwrap();
        let files: BTreeSet<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(files, names, "files in {}", directory.display());
    }
}

#[test]
fn yaml_round_trips() {
    for crd in all() {
        let text = yaml(&crd).unwrap();
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        let read: CustomResourceDefinition = serde_json::from_value(read).unwrap();
        assert_eq!(read, crd);
    }
}

/// Calls `visit` with the path and the schema of every property below `schema`.
fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        visit(&path, property);
        walk(&path, property, visit);
    }
    for key in ["items", "additionalProperties"] {
        if schema[key].is_object() {
            walk(&format!("{path}[]"), &schema[key], visit);
        }
    }
}

fn for_each_property(mut visit: impl FnMut(&str, &Value)) {
    for crd in all() {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
        walk(&crd.spec.names.kind, &schema["openAPIV3Schema"], &mut visit);
    }
}

#[test]
fn every_field_has_a_description_and_a_form_without_api_server_warnings() {
    let mut count = 0;
    for_each_property(|path, property| {
        count += 1;
        let text = property["description"].as_str().unwrap_or_default();
        assert!(text.len() > 5, "{path} has no description");
        assert!(property.get("nullable").is_none(), "{path} is nullable");
        assert!(!property["enum"].as_array().is_some_and(|values| values.contains(&Value::Null)), "{path}");
        if let Some(format) = property["format"].as_str() {
            assert!(["int32", "int64", "date-time"].contains(&format), "{path}: {format}");
        }
        if property["type"] == "array" {
            assert!(property["x-kubernetes-list-type"].is_string(), "{path} has no list type");
            assert!(property["maxItems"].is_number(), "{path} is not bounded");
        }
        if property["type"] == "string" && path.contains(".spec.") {
            assert!(property["maxLength"].is_number() || property["enum"].is_array(), "{path} is not bounded");
        }
    });
    assert!(count > 100, "{count}");
}

#[test]
fn manually_changed_fields_have_no_schema_default() {
    let mut count = 0;
    for_each_property(|path, property| {
        if path == "Backend.spec.adminState" || path == "Frontend.spec.pools[].backends[].weight" {
            assert!(property.get("default").is_none(), "{path}");
            count += 1;
        }
    });
    assert_eq!(count, 2);
}

#[test]
fn absent_fields_decode_to_their_defaults() {
    let check: HealthCheckSpec = serde_json::from_value(json!({ "type": "HTTP", "port": 80, "http": {} })).unwrap();
    let expected = json!({
        "type": "HTTP", "port": 80, "interval": "2s", "timeout": "1s", "rise": 2, "fall": 3,
        "http": { "path": "/", "method": "GET", "connection": "New", "expectedStatuses": ["200-399"] },
    });
    assert_eq!(serde_json::to_value(&check).unwrap(), expected);
    assert_eq!(check.http, Some(Http::default()), "an empty block means its defaults");

    let frontend: FrontendSpec = serde_json::from_value(json!({ "address": "203.0.113.1", "pools": [] })).unwrap();
    let expected = json!({
        "address": "203.0.113.1", "encap": { "type": "GRE" }, "sessionAffinity": "None", "onBackendDown": "Flush",
        "tableLength": 8192, "pools": [],
    });
    assert_eq!(serde_json::to_value(&frontend).unwrap(), expected);

    let config: LoadBalancerConfigSpec = serde_json::from_value(json!({})).unwrap();
    let expected = json!({
        "vpp": { "maxTableEntries": 4_194_304 },
        "sync": {
            "interval": "30s", "startupMinDelay": "5s", "startupMaxDelay": "30s", "foreignVIPs": "Keep",
            "massRemovalHold": "5m",
        },
        "probe": { "transitionHistory": 5, "failOpen": true },
    });
    assert_eq!(serde_json::to_value(&config).unwrap(), expected);
}

#[test]
fn unknown_fields_are_ignored_and_unknown_values_are_rejected() {
    let read = |spec: Value| serde_json::from_value::<BackendSpec>(spec);
    assert!(read(json!({ "address": "192.0.2.1", "slowStart": "30s" })).is_ok());
    assert!(read(json!({ "address": "192.0.2.1", "adminState": "Draining" })).is_err());
}

#[test]
fn debug_omits_header_values() {
    let header = Header { name: "Authorization".into(), value: Some("Bearer secret".into()), value_from: None };
    assert!(!format!("{header:?}").contains("secret"));
}

#[test]
fn examples_are_valid_and_their_references_resolve() {
    let objects = examples();
    let names = |kind: &str| -> BTreeSet<&str> {
        objects
            .iter()
            .filter(|(_, o)| o["kind"] == kind)
            .map(|(_, o)| o["metadata"]["name"].as_str().unwrap())
            .collect()
    };
    let (backends, checks) = (names("Backend"), names("HealthCheck"));
    for (file, object) in &objects {
        let name = format!("{file}: {} {}", object["kind"], object["metadata"]["name"]);
        check_any(object, None).unwrap_or_else(|rejection| panic!("{name}: {}", rejection.message));
        if let Some(check) = object["spec"]["healthCheckRef"]["name"].as_str() {
            assert!(checks.contains(check), "{name} names {check}");
        }
        for pool in object["spec"]["pools"].as_array().into_iter().flatten() {
            for backend in pool["backends"].as_array().into_iter().flatten() {
                assert!(backends.contains(backend["name"].as_str().unwrap()), "{name} names {backend}");
            }
        }
    }
    assert!(objects.len() > 15, "{}", objects.len());
}

/// One entry of `tests/bad_manifests.yaml`.
#[derive(Deserialize)]
struct Mistake {
    mistake: String,
    kind: String,
    spec: Value,
    was: Option<Value>,
    by: String,
}

#[test]
fn bad_manifests_are_rejected_by_types_and_rules() {
    let mistakes: Vec<Mistake> = serde_saphyr::from_str(include_str!("../../../tests/bad_manifests.yaml")).unwrap();
    assert!(mistakes.len() >= 30);
    for Mistake { mistake, kind, spec, was, by } in mistakes {
        let object = |spec: &Value| {
            json!({
                "apiVersion": format!("{GROUP}/{VERSION}"), "kind": kind, "metadata": { "name": "bad" }, "spec": spec,
            })
        };
        let rejection = check_any(&object(&spec), was.as_ref().map(object).as_ref()).err();
        let (rejected_by, message) =
            rejection.map_or(("schema", String::new()), |rejection| (rejection.by, rejection.message));
        assert_eq!(rejected_by, by, "{mistake}: {message}");
    }
}

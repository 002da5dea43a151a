use serde_json::json;

use super::*;

fn raw(json: Value) -> RawObject {
    serde_json::from_value(json).expect("an object with metadata")
}

fn metadata() -> Value {
    json!({
        "name": "web-1", "namespace": "shop", "uid": "u-1", "resourceVersion": "42", "generation": 3,
        "creationTimestamp": "2026-11-23T02:00:00Z", "managedFields": [{"manager": "kubectl"}],
    })
}

#[test]
fn readable_object_decodes() {
    let raw = raw(json!({"metadata": metadata(), "spec": {"address": "10.0.0.7"}}));
    let Object::Backend(stored) = raw.object(Kind::Backend) else { panic!("it is a Backend") };
    assert_eq!(stored.meta.name.as_str(), "shop/web-1");
    assert_eq!((&*stored.meta.revision.uid, stored.meta.revision.generation), ("u-1", 3));
    assert_eq!(stored.meta.created, "2026-11-23T02:00:00Z".parse().expect("a time"));
    assert!(stored.spec.is_ok(), "{:?}", stored.spec);
    assert_eq!(raw.version(), ObjectVersion { uid: "u-1".into(), resource_version: "42".into() });
}

#[test]
fn undecodable_object_keeps_its_raw_spec() {
    for spec in [json!({"address": ["10.0.0.7"]}), json!("text"), json!(7), json!([]), Value::Null] {
        let raw = raw(json!({"metadata": metadata(), "spec": spec}));
        let Object::Backend(stored) = raw.object(Kind::Backend) else { panic!("it is a Backend") };
        let unreadable = stored.spec.expect_err("it does not decode");
        assert_eq!(unreadable.spec, spec);
        assert!(!unreadable.error.is_empty());
        assert_eq!(stored.meta.name.as_str(), "shop/web-1");
    }
    let raw = raw(json!({"metadata": {"name": 7, "generation": "x", "labels": 3}}));
    assert!(matches!(raw.object(Kind::Frontend), Object::Frontend(Stored { spec: Err(_), .. })));
    assert!(matches!(raw.object(Kind::Node), Object::Node(_)));
}

#[test]
fn list_survives_one_undecodable_object() {
    let list = json!({
        "apiVersion": "maglev.vpp.io/v1alpha1", "kind": "BackendList", "metadata": {"resourceVersion": "7"},
        "items": [
            {"metadata": {"name": "a", "namespace": "x"}, "spec": {"address": {}}},
            {"metadata": {"name": "b", "namespace": "x"}, "spec": {"address": "10.0.0.7"}},
        ],
    });
    let list: kube::core::ObjectList<RawObject> = serde_json::from_value(list).expect("the list decodes");
    let readable: Vec<_> = list
        .items
        .iter()
        .map(|raw| matches!(raw.object(Kind::Backend), Object::Backend(Stored { spec: Ok(_), .. })))
        .collect();
    assert_eq!(readable, [false, true]);
}

#[test]
fn header_values_are_never_shown() {
    let spec = |header: Value| json!({"type": "HTTP", "port": 80, "http": {"headers": [header]}});
    for header in [json!({"name": "X-Key", "value": 31_337}), json!("secret-31337")] {
        let raw = raw(json!({"metadata": metadata(), "spec": spec(header)}));
        let Object::HealthCheck(stored) = raw.object(Kind::HealthCheck) else { panic!("it is a HealthCheck") };
        let error = stored.spec.expect_err("it does not decode").error;
        assert!(!error.contains("31337") && error.contains("headers"), "{error}");
    }
}

#[test]
fn node_has_labels_and_internal_addresses() {
    let raw = raw(json!({
        "metadata": {
            "name": "node-a", "labels": {"role": "lb"}, "annotations": {"other": "x", "maglev.vpp.io/drain": "10m"},
        },
        "spec": {"unschedulable": true},
        "status": {"addresses": [
            {"type": "Hostname", "address": "node-a"}, {"type": "InternalIP", "address": "10.0.0.1"},
            {"type": "InternalIP", "address": "2001:db8::1"}, {"type": "InternalIP", "address": "odd"},
        ]},
    }));
    let Object::Node(node) = raw.object(Kind::Node) else { panic!("it is a Node") };
    assert_eq!((node.name.as_str(), node.labels["role"].as_str()), ("node-a", "lb"));
    let addresses: Vec<_> = node.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.0.0.1", "2001:db8::1"]);
    assert_eq!((node.drain.as_deref(), node.unschedulable), (Some("10m"), true));
    let raw = self::raw(json!({"metadata": {"name": "node-a", "annotations": {"other": "x"}}, "spec": {}}));
    let Object::Node(node) = raw.object(Kind::Node) else { panic!("it is a Node") };
    assert_eq!((node.drain, node.unschedulable), (None, false));
}

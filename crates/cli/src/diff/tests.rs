use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::{flags::Output, output::render, what_if::tests::node};
use maglev_crd::{BackendSpec, FrontendSpec, HealthCheckSpec};
use maglev_index::{Meta, NodeObject, Object, Stored};
use maglev_model::config::Revision;

fn stored<S: serde::de::DeserializeOwned>(name: &str, generation: i64, spec: Value) -> Stored<S> {
    let revision = Revision { uid: name.into(), generation };
    let meta = Meta { name: Name::namespaced("shop", name), revision, created: Timestamp::UNIX_EPOCH };
    Stored { meta, spec: Ok(serde_json::from_value(spec).unwrap()) }
}

fn backend(number: u8, generation: i64, fields: &Value) -> Object {
    let mut spec = json!({"address": format!("192.0.2.{number}"), "healthCheckRef": {"name": "check"}});
    spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    Object::Backend(stored::<BackendSpec>(&format!("web-{number}"), generation, spec))
}

/// `shop/web` as in the views of [`node`], with these Backends and weights.
fn web(generation: i64, members: &[(u8, u8)], fields: &Value) -> Object {
    let members = members.iter().map(|(number, weight)| json!({"name": format!("web-{number}"), "weight": weight}));
    let mut spec = json!({
        "address": "203.0.113.10", "protocol": "TCP", "port": 80, "tableLength": 1024,
        "pools": [{"name": "primary", "backends": members.collect::<Vec<_>>()}],
    });
    spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    Object::Frontend(stored::<FrontendSpec>("web", generation, spec))
}

const EVEN: [(u8, u8); 3] = [(1, 10), (2, 10), (3, 10)];

/// The effect of storing `changed` on two nodes, of which `node-b` is not a Node of the API server.
fn diff_of(changed: Vec<Object>) -> Diff {
    let check = json!({"type": "TCP", "port": 80});
    let mut objects =
        vec![Object::HealthCheck(stored::<HealthCheckSpec>("check", 1, check)), web(1, &EVEN, &json!({}))];
    objects.extend((1..4).map(|number| backend(number, 1, &json!({}))));
    let addresses = vec![[192, 0, 2, 254].into()];
    objects.push(Object::Node(NodeObject { name: "node-a".to_owned(), addresses, ..NodeObject::default() }));
    let change = |object: &Object| ObjectChange {
        kind: object.kind().as_str(),
        name: object.name().to_string(),
        change: DryRunEffect::Configured.as_str(),
    };
    let runs = DryRuns {
        objects: changed.iter().map(change).collect(),
        skipped: vec!["Service web".to_owned()],
        changed: ChangedObjects { stored: objects, changed, certificates: BTreeMap::new() },
    };
    Diff::new(runs, vec![node("node-a", [10, 10, 10]), node("node-b", [10, 10, 10])])
}

fn text(diff: &Diff) -> String {
    let text = render(diff, Output::Table, Timestamp::UNIX_EPOCH).unwrap();
    anstream::adapter::strip_str(&text).to_string()
}

#[test]
fn changed_weight_moves_buckets_on_the_nodes_that_are_known() {
    let diff = diff_of(vec![web(2, &[(1, 10), (2, 0), (3, 10)], &json!({}))]);
    assert!(diff.has_changes() && !diff.effects.is_complete());
    let page = text(&diff);
    for part in [
        "Frontend shop/web   configured",
        "skipped: Service web",
        "shop/web   203.0.113.10 tcp 80   1/1     updated",
        "(from web-2 ",
        "kept",
        "node-b: not known: there is no Node node-b",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[test]
fn new_backend_is_taken_for_up_and_a_removed_one_is_flushed() {
    let members = [(1, 10), (2, 10), (4, 10)];
    let page = text(&diff_of(vec![backend(4, 1, &json!({})), web(2, &members, &json!({}))]));
    for part in ["(from web-3 ", "web-3 lost (at most 7); others kept", "Backend shop/web-4 is taken for up"] {
        assert!(page.contains(part), "{part} in {page}");
    }
    let moved = text(&diff_of(vec![backend(3, 2, &json!({"address": "192.0.2.9"}))]));
    assert!(
        moved.contains("web-3 lost (at most 7)") && moved.contains("Backend shop/web-3 is taken for up"),
        "{moved}"
    );
}

#[test]
fn recreated_and_held_vips_are_named() {
    let page = text(&diff_of(vec![web(2, &EVEN, &json!({"tableLength": 2048}))]));
    assert!(page.contains("recreated (table-length)") && page.contains("all lost (at most 21)"), "{page}");
    let page = text(&diff_of(vec![web(2, &[(1, 10), (2, 10), (9, 10)], &json!({}))]));
    assert!(page.contains("web-3 lost"), "a Backend that does not exist has no server: {page}");
    let mixed = backend(4, 1, &json!({"address": "2001:db8::4"}));
    let page = text(&diff_of(vec![mixed, web(2, &[(1, 10), (2, 10), (3, 10), (4, 10)], &json!({}))]));
    assert!(page.contains("shop/web: held: "), "{page}");
}

#[test]
fn change_without_effect_on_flows_is_named_all_the_same() {
    let check = json!({"type": "TCP", "port": 81});
    let diff = diff_of(vec![Object::HealthCheck(stored::<HealthCheckSpec>("check", 2, check))]);
    assert!(diff.has_changes());
    assert!(text(&diff).contains("No VIP changes."), "{}", text(&diff));
    let none = diff_of(Vec::new());
    assert!(!none.has_changes() && none.effects.is_complete());
    assert!(text(&none).starts_with("No object changes."));
}

#[test]
fn manifests_need_a_path_and_a_name() {
    let error = Manifests::read(&[], "shop").unwrap_err().to_string();
    assert!(error.contains("with -f"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Manifests::read(std::slice::from_ref(&path), "shop").map_err(|error| error.to_string())
    };
    let object = "{apiVersion: maglev.vpp.io/v1alpha1, kind: Backend, metadata: {name: a}}\n";
    let manifests = read(&format!("{object}---\n{{kind: Service, metadata: {{name: web}}}}")).unwrap();
    assert_eq!((manifests.supported.len(), &manifests.skipped[..]), (1, &["Service web".to_owned()][..]));
    assert_eq!(read(&format!("{object}---\n{object}")).unwrap_err(), "Backend shop/a is there twice");
    assert_eq!(read(&object.replace("name: a", "")).unwrap_err(), "a Backend has no metadata.name");
}

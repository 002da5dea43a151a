//! A watch that receives only bookmarks resumes from the last bookmark, without listing again. The API server is
//! simulated, since a real one sends bookmarks only every minute.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use kube::{Client, Config};
use maglev_model::config::Kind;
use serde_json::{Value, json};

use super::all_components::Watcher;

/// The received requests.
#[derive(Clone, Default)]
struct Requests(Arc<Mutex<ByPlural>>);

/// Per plural: the number of lists, and the versions at which watches began.
type ByPlural = BTreeMap<String, (usize, Vec<String>)>;

/// A response that ends after these documents.
fn stream(documents: &[Value]) -> Response {
    let lines: String = documents.iter().map(|document| format!("{document}\n")).collect();
    ([(CONTENT_TYPE, "application/json")], lines).into_response()
}

fn object(kind: &str, version: u32, name: &str) -> Value {
    json!({
        "apiVersion": "maglev.vpp.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "shop", "uid": name, "generation": 1, "resourceVersion": version.to_string(),
                     "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"address": "192.0.2.1"},
    })
}

async fn list_or_watch(plural: String, query: BTreeMap<String, String>, requests: Requests) -> Response {
    let mut requests = requests.0.lock().unwrap();
    let (lists, watches) = requests.entry(plural.clone()).or_default();
    if !query.contains_key("watch") {
        *lists += 1;
        // An agent waits for the Node that it runs on.
        let node = json!({"metadata": {"name": "node", "uid": "node", "resourceVersion": "5"}});
        let items = if plural == "nodes" { vec![node] } else { Vec::new() };
        let metadata = json!({"resourceVersion": "10"});
        return stream(&[json!({"apiVersion": "v1", "kind": "List", "metadata": metadata, "items": items})]);
    }
    assert_eq!(query.get("allowWatchBookmarks").map(String::as_str), Some("true"), "{plural}");
    let from: u32 = query["resourceVersion"].parse().unwrap();
    watches.push(from.to_string());
    let bookmark = json!({"type": "BOOKMARK", "object": {
        "apiVersion": "maglev.vpp.io/v1alpha1", "kind": "Backend", "metadata": {"resourceVersion": (from + 10).to_string()},
        "spec": {},
    }});
    // A watch that has followed the bookmarks to version 30 gets an object.
    let added = json!({"type": "ADDED", "object": object("Backend", 31, "late")});
    match (plural.as_str(), from) {
        ("backends", 30) => stream(&[added]),
        (_, 0..30) => stream(&[bookmark]),
        _ => stream(&[]),
    }
}

async fn custom_kind(
    Path(plural): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    requests: State<Requests>,
) -> Response {
    list_or_watch(plural, query, requests.0).await
}

async fn core_kind(plural: &str, Query(query): Query<BTreeMap<String, String>>, requests: State<Requests>) -> Response {
    list_or_watch(plural.to_owned(), query, requests.0).await
}

async fn custom_resource_definition(Path(name): Path<String>) -> Response {
    let metadata = json!({"name": name, "uid": name, "resourceVersion": "1"});
    stream(&[json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata})])
}

#[tokio::test]
async fn watch_resumes_from_bookmarks_without_a_new_list() {
    let requests = Requests::default();
    let router = Router::new()
        .route("/apis/maglev.vpp.io/v1alpha1/{plural}", get(custom_kind))
        .route("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}", get(custom_resource_definition))
        .route("/api/v1/nodes", get(|query, requests| core_kind("nodes", query, requests)))
        .route("/api/v1/namespaces/{namespace}/pods", get(|query, requests| core_kind("pods", query, requests)))
        .with_state(requests.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Config::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    maglev_kube::client::install_tls_provider();
    let watchers = Watcher::all(&Client::try_from(config).unwrap(), "node");
    for watcher in &watchers {
        watcher.until_objects(Kind::Backend, "shop", &["late"]).await;
    }
    let requests = requests.0.lock().unwrap();
    let (lists, watches) = &requests["backends"];
    assert_eq!(*lists, watchers.len(), "one list per watcher");
    for version in ["10", "20", "30"] {
        assert!(watches.iter().filter(|from| *from == version).count() >= watchers.len(), "{version} in {watches:?}");
    }
    server.abort();
}

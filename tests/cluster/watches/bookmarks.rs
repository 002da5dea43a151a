//! A watch in which nothing comes but bookmarks: it is taken up from the last one, and nothing is listed again. A
//! server of the tests' own, for a real one sends bookmarks by the minute.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use kube::{Client, Config};
use maglev_model::config::Kind;
use serde_json::{Value, json};

use super::everyone::Watcher;

/// What was asked for, by plural: lists, and the versions that watches began at.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<ByPlural>>);

type ByPlural = BTreeMap<String, (usize, Vec<String>)>;

/// An answer of several documents, which then ends.
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

async fn answer(plural: String, query: BTreeMap<String, String>, asked: Asked) -> Response {
    let mut asked = asked.0.lock().unwrap();
    let (lists, watches) = asked.entry(plural.clone()).or_default();
    if !query.contains_key("watch") {
        *lists += 1;
        // An agent waits for its own Node.
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
    // Whoever has followed the bookmarks gets something at last.
    let found = json!({"type": "ADDED", "object": object("Backend", 31, "late")});
    match (plural.as_str(), from) {
        ("backends", 30) => stream(&[found]),
        (_, 0..30) => stream(&[bookmark]),
        _ => stream(&[]),
    }
}

async fn ours(
    Path(plural): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    asked: State<Asked>,
) -> Response {
    answer(plural, query, asked.0).await
}

/// A kind of Kubernetes' own.
async fn core(plural: &str, Query(query): Query<BTreeMap<String, String>>, asked: State<Asked>) -> Response {
    answer(plural.to_owned(), query, asked.0).await
}

async fn definition(Path(name): Path<String>) -> Response {
    let metadata = json!({"name": name, "uid": name, "resourceVersion": "1"});
    stream(&[json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata})])
}

#[tokio::test]
async fn bookmarks_alone_carry_a_watch_on_without_a_new_list() {
    let asked = Asked::default();
    let router = Router::new()
        .route("/apis/maglev.vpp.io/v1alpha1/{plural}", get(ours))
        .route("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}", get(definition))
        .route("/api/v1/nodes", get(|query, asked| core("nodes", query, asked)))
        .route("/api/v1/namespaces/{namespace}/pods", get(|query, asked| core("pods", query, asked)))
        .with_state(asked.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Config::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    maglev_kube::client::install_tls_provider();
    let watchers = Watcher::all(&Client::try_from(config).unwrap(), "node");
    for watcher in &watchers {
        watcher.until_sees(Kind::Backend, "shop", &["late"]).await;
    }
    let asked = asked.0.lock().unwrap();
    let (lists, watches) = &asked["backends"];
    assert_eq!(*lists, watchers.len(), "one each");
    for version in ["10", "20", "30"] {
        assert!(watches.iter().filter(|from| *from == version).count() >= watchers.len(), "{version} in {watches:?}");
    }
    server.abort();
}

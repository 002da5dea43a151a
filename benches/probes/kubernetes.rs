//! A fake API server with one node's objects: lists, and watches without events. Serves only the requests of maglevd.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::{Path as FilePath, PathBuf},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::backends::{self, address};

/// The Node that maglevd runs on.
pub const NODE: &str = "bench";

/// The protocol of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

#[derive(Clone, Debug)]
pub struct Objects {
    pub backends: u32,
    pub scheme: Scheme,
    /// The field `http.connection` of the check.
    pub connection: &'static str,
    pub port: u16,
    pub authority: String,
}

#[derive(Deserialize)]
struct ListQuery {
    watch: Option<String>,
}

/// Serves `objects` until the task is aborted. Writes and returns a kubeconfig for the server.
pub async fn serve(objects: Objects, directory: &FilePath) -> anyhow::Result<(PathBuf, tokio::task::AbortHandle)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}", get(definition))
        .route("/apis/maglev.vpp.io/v1alpha1/{plural}", get(custom_resources))
        .route("/api/v1/nodes", get(nodes))
        .route("/api/v1/namespaces/{namespace}/configmaps/{name}", get(config_map))
        .with_state(objects);
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let kubeconfig = directory.join("kubeconfig");
    std::fs::write(&kubeconfig, kubeconfig_for(address).to_string())?;
    Ok((kubeconfig, serving.abort_handle()))
}

fn kubeconfig_for(address: SocketAddr) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "bench", "user": {}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    })
}

fn json_response(value: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

async fn definition(Path(name): Path<String>) -> Response {
    let metadata = json!({"name": name, "uid": name, "resourceVersion": "1"});
    json_response(&json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata}))
}

async fn custom_resources(Path(plural): Path<String>, query: Query<ListQuery>, objects: State<Objects>) -> Response {
    let items = match plural.as_str() {
        "healthchecks" => vec![objects.check()],
        "backends" => (0..objects.backends).map(backend).collect(),
        _ => vec![],
    };
    list(&query, "maglev.vpp.io/v1alpha1", &items)
}

async fn nodes(query: Query<ListQuery>) -> Response {
    let status = json!({"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]});
    list(&query, "v1", &[json!({"metadata": metadata(NODE, None), "status": status})])
}

async fn config_map(Path((_, name)): Path<(String, String)>, State(objects): State<Objects>) -> Response {
    let data = json!({"ca.crt": objects.authority});
    let metadata = metadata(&name, Some("bench"));
    json_response(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}))
}

/// The response to a list, or to a watch without events.
fn list(query: &ListQuery, api_version: &str, items: &[Value]) -> Response {
    if query.watch.is_some() {
        let no_events = futures::stream::pending::<Result<Bytes, Infallible>>();
        return (StatusCode::OK, Body::from_stream(no_events)).into_response();
    }
    let metadata = json!({"resourceVersion": "1"});
    json_response(&json!({"apiVersion": api_version, "kind": "List", "metadata": metadata, "items": items}))
}

fn metadata(name: &str, namespace: Option<&str>) -> Value {
    json!({
        "name": name, "namespace": namespace, "uid": name, "resourceVersion": "1", "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    })
}

fn backend(number: u32) -> Value {
    let spec = json!({"address": address(number), "healthCheckRef": {"name": "check"}});
    json!({"metadata": metadata(&format!("backend-{number:05}"), Some("bench")), "spec": spec})
}

impl Objects {
    fn check(&self) -> Value {
        let (kind, tls) = match self.scheme {
            Scheme::Http => ("HTTP", Value::Null),
            Scheme::Https => ("HTTPS", json!({"serverName": backends::NAME, "caCertificateRef": {"name": "ca"}})),
        };
        let spec = json!({
            "type": kind, "port": self.port, "interval": "1s", "timeout": "1s",
            "http": {"path": "/healthz", "connection": self.connection}, "tls": tls,
        });
        json!({"metadata": metadata("check", Some("bench")), "spec": spec})
    }
}

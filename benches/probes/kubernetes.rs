//! A stand-in for an API server with one node's objects: lists, and watches in which nothing happens. It
//! is what maglevd asks for and no more.

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

/// How the backends are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

#[derive(Clone, Debug)]
pub struct Objects {
    pub backends: u32,
    pub scheme: Scheme,
    pub port: u16,
    pub authority: String,
}

#[derive(Deserialize)]
struct Asked {
    watch: Option<String>,
}

/// Serves `objects` until it is dropped, and writes a kubeconfig that leads to it.
pub async fn serve(objects: Objects, directory: &FilePath) -> anyhow::Result<(PathBuf, tokio::task::AbortHandle)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?;
    let router = Router::new()
        .route("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}", get(definition))
        .route("/apis/maglev.vpp.io/v1alpha1/{plural}", get(ours))
        .route("/api/v1/nodes", get(nodes))
        .route("/api/v1/namespaces/{namespace}/configmaps/{name}", get(config_map))
        .with_state(objects);
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let kubeconfig = directory.join("kubeconfig");
    std::fs::write(&kubeconfig, kubeconfig_of(at).to_string())?;
    Ok((kubeconfig, serving.abort_handle()))
}

fn kubeconfig_of(at: SocketAddr) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {"server": format!("http://{at}")}}],
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

async fn ours(Path(plural): Path<String>, asked: Query<Asked>, objects: State<Objects>) -> Response {
    let items = match plural.as_str() {
        "healthchecks" => vec![objects.check()],
        "backends" => (0..objects.backends).map(backend).collect(),
        _ => vec![],
    };
    list(&asked, "maglev.vpp.io/v1alpha1", &items)
}

async fn nodes(asked: Query<Asked>) -> Response {
    let status = json!({"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]});
    list(&asked, "v1", &[json!({"metadata": metadata(NODE, None), "status": status})])
}

async fn config_map(Path((_, name)): Path<(String, String)>, State(objects): State<Objects>) -> Response {
    let data = json!({"ca.crt": objects.authority});
    let metadata = metadata(&name, Some("bench"));
    json_response(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}))
}

/// A list, or a watch in which nothing ever happens.
fn list(asked: &Asked, api_version: &str, items: &[Value]) -> Response {
    if asked.watch.is_some() {
        let silence = futures::stream::pending::<Result<Bytes, Infallible>>();
        return (StatusCode::OK, Body::from_stream(silence)).into_response();
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
            "http": {"path": "/healthz"}, "tls": tls,
        });
        json!({"metadata": metadata("check", Some("bench")), "spec": spec})
    }
}

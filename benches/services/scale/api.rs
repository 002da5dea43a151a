//! An API server with the objects of one agent: lists in pages, and watches of EndpointSlices with events.

use std::{
    convert::Infallible,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::{StreamExt as _, future::ready, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::broadcast::{self, error::RecvError},
};

use super::{SERVICES, SLICES_PER_SERVICE, objects};

/// Events that a watch may lag behind.
const CAPACITY: usize = 1024;

/// A running API server.
pub struct Api {
    kubeconfig: PathBuf,
    slice_events: broadcast::Sender<Bytes>,
}

/// The stored objects, each as JSON text.
struct Objects {
    nodes: Vec<String>,
    frontends: Vec<String>,
    load_balancer_configs: Vec<String>,
    slices: Vec<String>,
    slice_events: broadcast::Sender<Bytes>,
}

#[derive(Deserialize)]
struct ListQuery {
    watch: Option<String>,
    limit: Option<usize>,
    /// The index of the first object of the page.
    r#continue: Option<String>,
}

impl Api {
    /// Serves until the process ends; the kubeconfig is in `directory`.
    pub async fn start(directory: &FilePath, health_port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (slice_events, _) = broadcast::channel(CAPACITY);
        let texts = |objects: Vec<Value>| objects.iter().map(Value::to_string).collect();
        let objects = Objects {
            nodes: texts(objects::nodes()),
            frontends: texts(objects::frontends()),
            load_balancer_configs: texts(vec![objects::load_balancer_config(health_port)]),
            slices: texts(objects::slices()),
            slice_events: slice_events.clone(),
        };
        let kubeconfig = directory.join("kubeconfig");
        let server = format!("http://{}", listener.local_addr()?);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "bench",
            "clusters": [{"name": "bench", "cluster": {"server": server}}],
            "users": [{"name": "bench", "user": {}}],
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        });
        std::fs::write(&kubeconfig, config.to_string())?;
        let router = Router::new()
            .route("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}", get(definition))
            .route("/apis/maglev.vpp.io/v1alpha1/{plural}", get(custom_resources))
            .route("/apis/discovery.k8s.io/v1/endpointslices", get(slices))
            .route("/api/v1/nodes", get(nodes))
            .with_state(Arc::new(objects));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { kubeconfig, slice_events })
    }

    pub fn kubeconfig(&self) -> &FilePath {
        &self.kubeconfig
    }

    /// Delivers the change with this number: the first change of a slice lets an endpoint terminate, the next one ends that.
    pub fn change_slice(&self, number: usize) {
        let slices = SERVICES * SLICES_PER_SERVICE;
        // Far from the change before.
        let index = number * 7 % slices;
        let (round, generation) = (number / slices, i64::try_from(number + 2).expect("few changes"));
        let object =
            objects::slice(index / SLICES_PER_SERVICE, index % SLICES_PER_SERVICE, generation, round.is_multiple_of(2));
        // The type comes first, as from an API server.
        let event = format!(r#"{{"type": "MODIFIED", "object": {object}}}"#) + "\n";
        // Fails only without a watch; the change is then missed, which the caller notices.
        let _ = self.slice_events.send(event.into());
    }
}

fn json_response(text: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

async fn definition(Path(name): Path<String>) -> Response {
    let metadata = json!({"name": name, "uid": name, "resourceVersion": "1"});
    let object = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata});
    json_response(object.to_string())
}

async fn custom_resources(Path(plural): Path<String>, query: Query<ListQuery>, objects: Shared) -> Response {
    let items: &[String] = match plural.as_str() {
        "frontends" => &objects.frontends,
        "loadbalancerconfigs" => &objects.load_balancer_configs,
        _ => &[],
    };
    list_or_no_events(&query, items)
}

type Shared = State<Arc<Objects>>;

async fn nodes(query: Query<ListQuery>, objects: Shared) -> Response {
    list_or_no_events(&query, &objects.nodes)
}

async fn slices(query: Query<ListQuery>, objects: Shared) -> Response {
    if query.watch.is_none() {
        return list(&query, &objects.slices);
    }
    let receiver = objects.slice_events.subscribe();
    let events = stream::unfold(receiver, async |mut receiver| match receiver.recv().await {
        Ok(event) => Some((Ok::<_, Infallible>(event), receiver)),
        // The agent starts over with a list.
        Err(RecvError::Lagged(_) | RecvError::Closed) => None,
    });
    (StatusCode::OK, Body::from_stream(events)).into_response()
}

fn list_or_no_events(query: &ListQuery, items: &[String]) -> Response {
    if query.watch.is_none() {
        return list(query, items);
    }
    let no_events = stream::once(ready(Ok::<_, Infallible>(Bytes::new()))).chain(stream::pending());
    (StatusCode::OK, Body::from_stream(no_events)).into_response()
}

/// One page of a list.
fn list(query: &ListQuery, items: &[String]) -> Response {
    let first: usize = query.r#continue.as_deref().and_then(|first| first.parse().ok()).unwrap_or(0);
    let end = query.limit.map_or(items.len(), |limit| items.len().min(first + limit));
    let more = if end < items.len() { end.to_string() } else { String::new() };
    let metadata = json!({"resourceVersion": "1", "continue": more});
    let page = items.get(first..end).unwrap_or_default().join(",");
    json_response(format!(r#"{{"apiVersion": "v1", "kind": "List", "metadata": {metadata}, "items": [{page}]}}"#))
}

//! An API server with hostile answers: pods of agents, MaglevNodes, Backends and refusals.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{
        Path, RawQuery, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::{SinkExt as _, StreamExt as _, stream};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::AbortOnDropHandle;

use maglev_kube::operator_change::MANAGER;

/// Path of MaglevNodes; the name of the node follows.
const MAGLEV_NODE: &str = "/apis/maglev.vpp.io/v1alpha1/maglevnodes/{name}";

/// A pod of an agent.
pub struct Pod {
    /// `spec.nodeName`.
    pub node: String,
    pub agent: SocketAddr,
    /// False if the API server refuses to forward a port to the pod.
    pub forwards: bool,
}

struct Answers {
    pods: Vec<Pod>,
    /// A text in every answer.
    text: String,
    /// True if no answer is what was asked for.
    is_broken: bool,
}

/// Serves until it is dropped.
pub struct ApiServer {
    directory: TempDir,
    _server: AbortOnDropHandle<io::Result<()>>,
}

impl ApiServer {
    /// An API server with these pods and `text` in every answer.
    pub async fn start(pods: Vec<Pod>, text: String) -> Self {
        Self::serve(Answers { pods, text, is_broken: false }).await
    }

    /// An API server that answers every request with `text`.
    pub async fn broken(text: String) -> Self {
        Self::serve(Answers { pods: Vec::new(), text, is_broken: true }).await
    }

    async fn serve(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = axum::serve(listener, router(answers)).into_future();
        let directory = tempfile::tempdir().unwrap();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": { "server": format!("http://{address}") } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
            "users": [{ "name": "test", "user": {} }],
        });
        std::fs::write(directory.path().join("kubeconfig"), config.to_string()).unwrap();
        Self { directory, _server: AbortOnDropHandle::new(tokio::spawn(server)) }
    }

    /// The path of a kubeconfig of this API server.
    pub fn kubeconfig(&self) -> String {
        self.directory.path().join("kubeconfig").display().to_string()
    }
}

fn router(answers: Answers) -> Router {
    if answers.is_broken {
        return Router::new().fallback(async move || (StatusCode::INTERNAL_SERVER_ERROR, answers.text));
    }
    Router::new()
        .route("/api/v1/pods", get(pods))
        .route("/api/v1/namespaces/{namespace}/pods", get(pods))
        .route("/api/v1/namespaces/{namespace}/pods/{name}/portforward", get(port_forward))
        .route("/apis/authentication.k8s.io/v1/selfsubjectreviews", post(review))
        .route(MAGLEV_NODE, get(maglev_node).patch(refused))
        .route("/apis/maglev.vpp.io/v1alpha1/namespaces/{namespace}/backends/{name}", get(backend).patch(refused))
        .fallback(refused)
        .with_state(Arc::new(answers))
}

async fn refused(State(answers): State<Arc<Answers>>) -> Response {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 403,
        "message": answers.text, "reason": answers.text,
    });
    (StatusCode::FORBIDDEN, Json(status)).into_response()
}

async fn pods(State(answers): State<Arc<Answers>>, RawQuery(query): RawQuery) -> Response {
    if query.unwrap_or_default().contains("watch=true") {
        return Body::from_stream(stream::pending::<io::Result<Bytes>>()).into_response();
    }
    let owner = json!({ "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "d", "controller": true });
    let pod = |(number, pod): (usize, &Pod)| {
        let ports = json!([{ "name": "grpc", "containerPort": pod.agent.port() }]);
        json!({
            "metadata": {
                "name": format!("maglevd-{number}"), "namespace": "lb", "uid": number.to_string(),
                "ownerReferences": [owner],
            },
            "spec": { "nodeName": pod.node, "containers": [{ "name": "maglevd", "ports": ports }] },
            "status": { "podIP": pod.agent.ip(), "phase": "Running" },
        })
    };
    let items: Vec<Value> = answers.pods.iter().enumerate().map(pod).collect();
    Json(json!({ "apiVersion": "v1", "kind": "PodList", "metadata": { "resourceVersion": "1" }, "items": items }))
        .into_response()
}

async fn review(State(answers): State<Arc<Answers>>) -> Response {
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {},
        "status": { "userInfo": { "username": answers.text } },
    });
    (StatusCode::CREATED, Json(review)).into_response()
}

/// A MaglevNode that can be read but not changed; the one of `node-b` cannot be read.
async fn maglev_node(answers: State<Arc<Answers>>, Path(name): Path<String>) -> Response {
    if name == "node-b" {
        return refused(answers).await;
    }
    Json(json!({
        "apiVersion": "maglev.vpp.io/v1alpha1", "kind": "MaglevNode",
        "metadata": { "name": answers.text, "resourceVersion": "1" },
        "spec": { "acceptRemovals": [answers.text] },
    }))
    .into_response()
}

/// A Backend with hostile owners and annotations.
async fn backend(State(answers): State<Arc<Answers>>, Path((namespace, name)): Path<(String, String)>) -> Response {
    let text = &answers.text;
    let fields = json!({ "f:spec": { "f:adminState": {} } });
    let managed = |manager: &str, time: &str| {
        json!({
            "manager": manager, "operation": "Apply", "apiVersion": "maglev.vpp.io/v1alpha1", "time": time,
            "fieldsType": "FieldsV1", "fieldsV1": fields,
        })
    };
    let annotations = json!({ "maglev.vpp.io/operator-action-by": text, "maglev.vpp.io/operator-action-reason": text });
    // The last writer is the one of the annotations.
    let (owner, last) = (managed(text, "2026-11-01T00:00:00Z"), managed(MANAGER, "2026-11-02T00:00:00Z"));
    Json(json!({
        "apiVersion": "maglev.vpp.io/v1alpha1", "kind": "Backend",
        "metadata": {
            "name": name, "namespace": namespace, "uid": "u", "resourceVersion": "1", "generation": 1,
            "annotations": annotations, "managedFields": [owner, last],
        },
        "spec": { "address": "10.0.0.1", "adminState": "Enabled" },
    }))
    .into_response()
}

async fn port_forward(
    state: State<Arc<Answers>>,
    Path((_, name)): Path<(String, String)>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let number = name.strip_prefix("maglevd-").and_then(|number| number.parse::<usize>().ok());
    match number.and_then(|number| state.pods.get(number)).filter(|pod| pod.forwards) {
        Some(pod) => {
            let agent = pod.agent;
            upgrade.protocols(["v4.channel.k8s.io"]).on_upgrade(move |socket| forward(socket, agent))
        }
        None => refused(state).await,
    }
}

/// Channel 0 has the data of the port, and channel 1 its error. Each begins with the port.
async fn forward(socket: WebSocket, agent: SocketAddr) {
    let mut stream = TcpStream::connect(agent).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let (mut sink, mut messages) = socket.split();
    for channel in [0, 1] {
        let begin = [&[channel][..], &agent.port().to_le_bytes()].concat();
        let _ = sink.send(Message::Binary(begin.into())).await;
    }
    let to_agent = async {
        while let Some(Ok(message)) = messages.next().await {
            if let Message::Binary(bytes) = message
                && let Some((0, data)) = bytes.split_first()
                && writer.write_all(data).await.is_err()
            {
                return;
            }
        }
    };
    let from_agent = async {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = reader.read(&mut buffer[1..]).await {
            if sink.send(Message::Binary(Bytes::copy_from_slice(&buffer[..=length]))).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = to_agent => {}
        () = from_agent => {}
    }
}

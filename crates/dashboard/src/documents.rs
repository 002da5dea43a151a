//! The HTTP handlers of the documents.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    Shared,
    client::Client,
    detail,
    document::{
        BackendDetail, FrontendDetail, HealthCheckDetail, NodeDocument, NodeHeader, ObjectInfo, Position, Positions,
        Summary, Time,
    },
    document_cache::CachedDocument,
    responses::{busy_response, error_response},
    state::Snapshot,
};
use maglev_kube::objects::{ObjectKey, ObjectKind};
use maglev_model::{
    Name,
    config::{Check, Frontend, MemberTarget},
};

type S = State<Arc<Shared>>;
type C = Extension<Client>;

/// Makes a document, or takes it from the cache, and sends it. Few are made and sent at the same time. A large one takes
/// some milliseconds, so it is made on a blocking thread.
async fn document<T: Serialize>(
    shared: &Shared,
    client: &Client,
    cached: Option<(&Arc<Snapshot>, CachedDocument)>,
    make: impl FnOnce() -> Option<T> + Send + 'static,
    missing: &str,
) -> Response {
    let Some(slot) = shared.slots.acquire(client.address).await else {
        shared.broker.metrics().refused("Busy");
        return busy_response("other documents are being sent; try again");
    };
    let found = cached.as_ref().and_then(|(snapshot, document)| shared.documents.get(snapshot, document));
    let body = match found {
        Some(body) => body,
        None => match tokio::task::spawn_blocking(move || make().map(|made| serde_json::to_vec(&made))).await {
            Ok(Some(Ok(body))) => {
                let body = Bytes::from(body);
                if let Some((snapshot, document)) = cached {
                    shared.documents.insert(snapshot, document, body.clone());
                }
                body
            }
            Ok(None) => return error_response(StatusCode::NOT_FOUND, "NotFound", missing),
            Ok(Some(Err(_))) | Err(_) => {
                let message = "internal error; see the log of the dashboard";
                return error_response(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message);
            }
        },
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, slot.hold(body, &client.connection)).into_response()
}

fn now() -> Time {
    Time(Timestamp::now())
}

pub async fn summary(State(shared): S, Extension(client): C) -> Response {
    let snapshot = shared.snapshot();
    let source = Arc::clone(&snapshot);
    document(&shared, &client, Some((&snapshot, CachedDocument::Summary)), move || Some(source.summary(now())), "")
        .await
}

pub async fn state(State(shared): S, Extension(client): C) -> Response {
    let snapshot = shared.snapshot();
    let source = Arc::clone(&snapshot);
    let everything = move || {
        let now = now();
        let page = |node: &Arc<str>| Some((Arc::clone(node), NodePage::new(&source, node, now)?));
        Some(Everything { summary: source.summary(now), nodes: source.nodes.keys().filter_map(page).collect() })
    };
    document(&shared, &client, Some((&snapshot, CachedDocument::Everything)), everything, "").await
}

pub async fn node(State(shared): S, Extension(client): C, Path(node): Path<String>) -> Response {
    let (snapshot, missing) = (shared.snapshot(), format!("there is no node {node}"));
    let (source, cached) = (Arc::clone(&snapshot), CachedDocument::Node(node.clone()));
    let page = move || NodePage::new(&source, &node, now());
    document(&shared, &client, Some((&snapshot, cached)), page, &missing).await
}

pub async fn frontend(
    State(shared): S,
    Extension(client): C,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let (snapshot, name) = (shared.snapshot(), Name::namespaced(&namespace, &name));
    let missing = format!("there is no Frontend {name}");
    document(&shared, &client, None, move || FrontendPage::new(&snapshot, &name), &missing).await
}

pub async fn namespaced_object(
    State(shared): S,
    Extension(client): C,
    Path((kind, namespace, name)): Path<(String, String, String)>,
) -> Response {
    object(&shared, &client, &kind, Name::namespaced(&namespace, &name)).await
}

pub async fn cluster_object(
    State(shared): S,
    Extension(client): C,
    Path((kind, name)): Path<(String, String)>,
) -> Response {
    object(&shared, &client, &kind, Name::cluster(&name)).await
}

async fn object(shared: &Shared, client: &Client, kind: &str, name: Name) -> Response {
    let (snapshot, missing) = (shared.snapshot(), format!("there is no {kind} {name}"));
    let kind = ObjectKind::ALL.into_iter().find(|candidate| candidate.as_str() == kind);
    document(shared, client, None, move || info(&snapshot, &ObjectKey { kind: kind?, name }), &missing).await
}

fn info(snapshot: &Snapshot, key: &ObjectKey) -> Option<ObjectInfo> {
    Some(ObjectInfo::new(key, snapshot.objects.objects.get(key)?))
}

pub async fn maglevds(State(shared): S, Extension(client): C) -> Response {
    let snapshot = shared.snapshot();
    let list = move || {
        let maglevd =
            |(node, header): (&Arc<str>, &Arc<NodeHeader>)| Maglevd { node: node.clone(), header: header.clone() };
        Some(MaglevdList {
            namespace: snapshot.agent_selector.namespace.clone(),
            selector: snapshot.agent_selector.selector.clone(),
            maglevds: snapshot.headers.iter().map(maglevd).collect(),
        })
    };
    document(&shared, &client, None, list, "").await
}

pub async fn version(State(shared): S, Extension(client): C) -> Response {
    let version = Version {
        version: shared.build.version,
        commit: shared.build.commit,
        build_date: shared.build.build_date,
        started: shared.started,
        replica: format!("{:x}", shared.broker.replica()),
        admin: shared.admin.is_some(),
    };
    document(&shared, &client, None, move || Some(version), "").await
}

/// The server.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct Version {
    version: &'static str,
    commit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    build_date: Option<&'static str>,
    started: Time,
    /// The process, in hexadecimal.
    replica: String,
    /// True if operator changes are enabled.
    admin: bool,
}

/// The agents that the dashboard selects.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct MaglevdList {
    /// Empty for all namespaces.
    namespace: String,
    selector: String,
    maglevds: Vec<Maglevd>,
}

/// An agent.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Maglevd {
    node: Arc<str>,
    #[serde(flatten)]
    header: Arc<NodeHeader>,
}

/// The documents of all nodes, and of each node.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Everything {
    summary: Summary,
    nodes: BTreeMap<Arc<str>, NodePage>,
}

/// A node's document, with the MaglevNode and LoadBalancerConfig of the node.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct NodePage {
    #[serde(flatten)]
    node: NodeDocument,
    objects: BTreeMap<String, ObjectInfo>,
}

impl NodePage {
    fn new(snapshot: &Snapshot, node: &str, now: Time) -> Option<Self> {
        let inputs = snapshot.nodes.get(node)?;
        let config = inputs.view().node.as_ref().and_then(|node| node.load_balancer_config.as_ref());
        let config = config.into_iter().map(|name| key(ObjectKind::LoadBalancerConfig, name));
        let keys = config.chain([key(ObjectKind::MaglevNode, &Name::cluster(node))]);
        Some(Self { node: detail::node(inputs, now), objects: infos(snapshot, keys) })
    }
}

/// The objects that exist among `keys`.
fn infos(snapshot: &Snapshot, keys: impl IntoIterator<Item = ObjectKey>) -> BTreeMap<String, ObjectInfo> {
    let infos = keys.into_iter().filter_map(|key| {
        let info = info(snapshot, &key)?;
        Some((format!("{} {}", key.kind.as_str(), key.name), info))
    });
    infos.collect()
}

/// A Frontend on every node, with its objects in Kubernetes.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct FrontendPage {
    #[cfg_attr(test, ts(as = "BTreeMap<Arc<str>, Position>"))]
    as_of: Positions,
    now: Time,
    nodes: BTreeMap<Arc<str>, FrontendParts>,
    objects: BTreeMap<String, ObjectInfo>,
}

/// The parts of a node's document that concern one Frontend.
#[derive(Default, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct FrontendParts {
    frontends: BTreeMap<String, FrontendDetail>,
    backends: BTreeMap<String, BackendDetail>,
    health_checks: BTreeMap<String, HealthCheckDetail>,
}

impl FrontendPage {
    fn new(snapshot: &Snapshot, name: &Name) -> Option<Self> {
        let (mut nodes, mut keys) = (BTreeMap::new(), vec![key(ObjectKind::Frontend, name)]);
        let mut as_of = Positions::new();
        for (node, inputs) in &snapshot.nodes {
            let view = inputs.view();
            let Some(frontend) = view.frontends.get(name) else { continue };
            let mut parts = FrontendParts::default();
            parts.frontends.extend(detail::frontend(inputs, name).map(|detail| (name.to_string(), detail)));
            for (backend, check) in references(frontend) {
                parts.backends.extend(detail::backend(view, backend).map(|detail| (backend.to_string(), detail)));
                keys.push(key(ObjectKind::Backend, backend));
                let Some(check) = check else { continue };
                parts.health_checks.extend(detail::health_check(view, check).map(|detail| (check.to_string(), detail)));
                keys.push(key(ObjectKind::HealthCheck, check));
            }
            nodes.insert(Arc::clone(node), parts);
            as_of.extend(inputs.as_of().map(|as_of| (Arc::clone(node), Position(as_of))));
        }
        let objects = infos(snapshot, keys);
        (!nodes.is_empty() || !objects.is_empty()).then(|| Self { as_of, now: now(), nodes, objects })
    }
}

fn key(kind: ObjectKind, name: &Name) -> ObjectKey {
    ObjectKey { kind, name: name.clone() }
}

/// The Backends of a Frontend, each with its HealthCheck.
fn references(frontend: &Frontend) -> impl Iterator<Item = (&Name, Option<&Name>)> {
    let members = frontend.pools.iter().flat_map(|pool| &pool.members);
    members.map(|member| {
        let check = match &member.target {
            MemberTarget::Backend(backend) => match &backend.check {
                Check::Probe(check) => Some(&check.name),
                Check::None | Check::Missing(_) | Check::NotSupported(_) => None,
            },
            MemberTarget::Unreadable { .. } => None,
        };
        (&member.backend, check)
    })
}

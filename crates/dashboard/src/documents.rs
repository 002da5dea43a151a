//! The documents as HTTP gives them.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::{
    Shared,
    board::Glance,
    detail,
    document::{NodeDocument, NodeHead, ObjectInfo, Place, Places, Time},
};
use maglev_kube::objects::{ObjectKey, ObjectKind};
use maglev_model::{
    Name,
    config::{Check, Frontend, Target},
};

type S = State<Arc<Shared>>;

/// Why something is not answered.
pub fn refusal(status: StatusCode, reason: &str, message: &str) -> Response {
    (status, Json(json!({ "reason": reason, "message": message }))).into_response()
}

/// Makes a document beside the runtime's threads: a large one is some milliseconds of work.
async fn document<T: Serialize>(make: impl FnOnce() -> Option<T> + Send + 'static, missing: &str) -> Response {
    let made = tokio::task::spawn_blocking(move || make().map(|document| serde_json::to_vec(&document))).await;
    match made {
        Ok(Some(Ok(body))) => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ];
            (headers, body).into_response()
        }
        Ok(None) => refusal(StatusCode::NOT_FOUND, "NotFound", missing),
        Ok(Some(Err(_))) | Err(_) => {
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "the document could not be made")
        }
    }
}

fn now() -> Time {
    Time(Timestamp::now())
}

pub async fn summary(State(shared): S) -> Response {
    let glance = shared.glance();
    document(move || Some(glance.summary(now())), "").await
}

pub async fn state(State(shared): S) -> Response {
    #[derive(Serialize)]
    struct Everything {
        summary: super::document::Summary,
        nodes: BTreeMap<Arc<str>, NodePage>,
    }
    let glance = shared.glance();
    let everything = move || {
        let now = now();
        let page = |node: &Arc<str>| Some((Arc::clone(node), NodePage::new(&glance, node, now)?));
        Some(Everything { summary: glance.summary(now), nodes: glance.nodes.keys().filter_map(page).collect() })
    };
    document(everything, "").await
}

pub async fn node(State(shared): S, Path(node): Path<String>) -> Response {
    let (glance, missing) = (shared.glance(), format!("there is no node {node}"));
    document(move || NodePage::new(&glance, &node, now()), &missing).await
}

pub async fn frontend(State(shared): S, Path((namespace, name)): Path<(String, String)>) -> Response {
    let (glance, name) = (shared.glance(), Name::namespaced(&namespace, &name));
    let missing = format!("there is no Frontend {name}");
    document(move || FrontendPage::new(&glance, &name), &missing).await
}

pub async fn namespaced_object(
    State(shared): S,
    Path((kind, namespace, name)): Path<(String, String, String)>,
) -> Response {
    object(&shared, &kind, Name::namespaced(&namespace, &name)).await
}

pub async fn cluster_object(State(shared): S, Path((kind, name)): Path<(String, String)>) -> Response {
    object(&shared, &kind, Name::cluster(&name)).await
}

async fn object(shared: &Shared, kind: &str, name: Name) -> Response {
    let (glance, missing) = (shared.glance(), format!("there is no {kind} {name}"));
    let kind = ObjectKind::ALL.into_iter().find(|known| known.as_str() == kind);
    document(move || info(&glance, &ObjectKey { kind: kind?, name }), &missing).await
}

fn info(glance: &Glance, key: &ObjectKey) -> Option<ObjectInfo> {
    Some(ObjectInfo::new(key, glance.objects.objects.get(key)?))
}

pub async fn maglevds(State(shared): S) -> Response {
    #[derive(Serialize)]
    struct Named {
        node: Arc<str>,
        #[serde(flatten)]
        head: Arc<NodeHead>,
    }
    #[derive(Serialize)]
    struct Found {
        namespace: String,
        selector: String,
        maglevds: Vec<Named>,
    }
    let glance = shared.glance();
    let found = move || {
        let named = |(node, head): (&Arc<str>, &Arc<NodeHead>)| Named { node: node.clone(), head: head.clone() };
        Some(Found {
            namespace: glance.looked_for.namespace.clone(),
            selector: glance.looked_for.selector.clone(),
            maglevds: glance.heads.iter().map(named).collect(),
        })
    };
    document(found, "").await
}

pub async fn version(State(shared): S) -> Response {
    let replica = format!("{:x}", shared.broker.replica());
    let mut version = json!({
        "version": shared.build.version,
        "commit": shared.build.commit,
        "started": shared.started,
        "replica": replica,
        "admin": shared.admin.is_some(),
    });
    if let Some(build_date) = &shared.build.build_date {
        version["build_date"] = json!(build_date);
    }
    document(move || Some(version), "").await
}

/// A node, and what Kubernetes says of it and of its settings.
#[derive(Serialize)]
struct NodePage {
    #[serde(flatten)]
    node: NodeDocument,
    objects: BTreeMap<String, ObjectInfo>,
}

impl NodePage {
    fn new(glance: &Glance, node: &str, now: Time) -> Option<Self> {
        let inputs = glance.nodes.get(node)?;
        let config = inputs.view().node.as_ref().and_then(|node| node.load_balancer_config.as_ref());
        let config = config.into_iter().map(|name| key(ObjectKind::LoadBalancerConfig, name));
        let keys = config.chain([key(ObjectKind::MaglevNode, &Name::cluster(node))]);
        Some(Self { node: detail::node(inputs, now), objects: infos(glance, keys) })
    }
}

/// What Kubernetes says of those that it knows.
fn infos(glance: &Glance, keys: impl IntoIterator<Item = ObjectKey>) -> BTreeMap<String, ObjectInfo> {
    let found = keys.into_iter().filter_map(|key| {
        let info = info(glance, &key)?;
        Some((format!("{} {}", key.kind.as_str(), key.name), info))
    });
    found.collect()
}

/// A frontend on every node, and what Kubernetes says of it and of what it refers to.
#[derive(Serialize)]
struct FrontendPage {
    as_of: Places,
    now: Time,
    nodes: BTreeMap<Arc<str>, Cut>,
    objects: BTreeMap<String, ObjectInfo>,
}

/// What of a node's document one frontend needs.
#[derive(Default, Serialize)]
struct Cut {
    frontends: BTreeMap<String, super::document::FrontendDetail>,
    backends: BTreeMap<String, super::document::BackendDetail>,
    health_checks: BTreeMap<String, super::document::HealthCheckDetail>,
}

impl FrontendPage {
    fn new(glance: &Glance, name: &Name) -> Option<Self> {
        let (mut nodes, mut keys) = (BTreeMap::new(), vec![key(ObjectKind::Frontend, name)]);
        let mut as_of = Places::new();
        for (node, inputs) in &glance.nodes {
            let view = inputs.view();
            let Some(frontend) = view.frontends.get(name) else { continue };
            let mut cut = Cut::default();
            cut.frontends.extend(detail::frontend(inputs, name).map(|detail| (name.to_string(), detail)));
            for (backend, check) in references(frontend) {
                cut.backends.extend(detail::backend(view, backend).map(|detail| (backend.to_string(), detail)));
                keys.push(key(ObjectKind::Backend, backend));
                let Some(check) = check else { continue };
                cut.health_checks.extend(detail::health_check(view, check).map(|detail| (check.to_string(), detail)));
                keys.push(key(ObjectKind::HealthCheck, check));
            }
            nodes.insert(Arc::clone(node), cut);
            as_of.extend(inputs.as_of().map(|as_of| (Arc::clone(node), Place(as_of))));
        }
        let objects = infos(glance, keys);
        (!nodes.is_empty() || !objects.is_empty()).then(|| Self { as_of, now: now(), nodes, objects })
    }
}

fn key(kind: ObjectKind, name: &Name) -> ObjectKey {
    ObjectKey { kind, name: name.clone() }
}

/// A frontend's backends and their health checks.
fn references(frontend: &Frontend) -> impl Iterator<Item = (&Name, Option<&Name>)> {
    let members = frontend.pools.iter().flat_map(|pool| &pool.members);
    members.map(|member| {
        let check = match &member.target {
            Target::Backend(backend) => match &backend.check {
                Check::Probe(check) => Some(&check.name),
                Check::None | Check::Missing(_) | Check::NotSupported(_) => None,
            },
            Target::Unreadable { .. } => None,
        };
        (&member.backend, check)
    })
}

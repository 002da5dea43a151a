//! Watches all that the controller decides from: our kinds with their status, the Nodes, the agents'
//! pods and the MaglevNodes.
//!
//! Unlike [`Watches`](super::Watches) it feeds no index of its own: whoever folds status needs what is stored beside
//! what follows from it. Called by `controller`.

use std::sync::Arc;

use futures::{FutureExt as _, future::BoxFuture, future::join_all};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, Client, core::ApiResource};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    agent_pods::SELECTOR,
    causes::Causes,
    guard::Raw,
    kind_watch::{Delays, KindWatch, Update},
    listing::{Listed, Listing},
    release_pods::has_ended,
};
use maglev_crd::MaglevNode;
use maglev_index::{NodeObject, Object};
use maglev_model::{Name, config::Kind};

/// Updates that may wait for the controller: each can be a whole list.
const QUEUE: usize = 16;
/// The kinds that people write.
const OURS: [Kind; 4] = [Kind::HealthCheck, Kind::Backend, Kind::Frontend, Kind::LoadBalancerConfig];

/// What happened to the objects of one of our kinds. To be applied in the order of the fields.
#[derive(Debug)]
pub struct KindNews {
    pub kind: Kind,
    /// `seen` is its first complete list.
    pub first: bool,
    /// Objects that are gone.
    pub gone: Vec<Name>,
    /// Objects that are new or changed, be it in their status alone.
    pub seen: Vec<Seen>,
}

/// One object, and what is stored as its status.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The object as the index takes it.
    pub object: Object,
    pub stored: StoredStatus,
}

/// A status as the API server has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredStatus {
    /// `metadata.uid` of the object.
    pub uid: Arc<str>,
    /// `metadata.generation` of the object.
    pub generation: i64,
    /// `metadata.resourceVersion` of the object.
    pub version: String,
    /// The status; `null` where there is none.
    pub status: Value,
}

impl StoredStatus {
    /// The status of an object.
    pub(crate) fn of(raw: &Raw) -> Self {
        let revision = raw.revision();
        Self {
            uid: revision.uid,
            generation: revision.generation,
            version: raw.resource_version().to_owned(),
            status: raw.field("/status").cloned().unwrap_or_default(),
        }
    }

    /// Whether this was certainly stored before `other`. Since Kubernetes 1.35 the versions of one kind can be
    /// compared as numbers; where they are none, nothing is certain, and a write from a stale version is refused.
    pub fn is_older_than(&self, other: &Self) -> bool {
        let number = |of: &Self| of.version.parse::<u64>().ok();
        self.uid == other.uid && number(self).zip(number(other)).is_some_and(|(this, that)| this < that)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSeen {
    /// Name, labels and addresses.
    pub object: NodeObject,
    pub uid: Arc<str>,
    /// Since when its condition Ready is not True; `None` where it is, or where nobody has said yet.
    pub not_ready_since: Option<Timestamp>,
}

/// An agent's pod that is bound to a Node and has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundPod {
    pub node: Arc<str>,
}

/// Where what is watched appears.
pub struct ClusterNews {
    /// Objects of our kinds.
    pub kinds: mpsc::Receiver<KindNews>,
    pub nodes: watch::Receiver<Listed<NodeSeen>>,
    /// The agents' pods.
    pub pods: watch::Receiver<Listed<BoundPod>>,
    pub maglev_nodes: watch::Receiver<Listed<StoredStatus>>,
}

/// The watches before they run.
pub struct ClusterWatch {
    client: Client,
    delays: Delays,
    kinds: mpsc::Sender<KindNews>,
    nodes: Listing<Raw, NodeSeen>,
    pods: Listing<Raw, BoundPod>,
    maglev_nodes: Listing<Raw, StoredStatus>,
}

impl ClusterWatch {
    /// Watches through `client`; the agents' pods in `namespace` alone.
    pub fn new(client: Client, namespace: &str, delays: Delays) -> (Self, ClusterNews) {
        let (kinds, kinds_rx) = mpsc::channel(QUEUE);
        let everywhere = |resource| Api::all_with(client.clone(), &resource);
        let nodes = everywhere(ApiResource::erase::<Node>(&()));
        let (nodes, nodes_rx) = Listing::new(nodes, "Node", None, delays, node);
        let pods = Api::namespaced_with(client.clone(), namespace, &ApiResource::erase::<Pod>(&()));
        let (pods, pods_rx) = Listing::new(pods, "Pod", Some(SELECTOR), delays, pod);
        let maglev_nodes = everywhere(ApiResource::erase::<MaglevNode>(&()));
        let stored = |raw: &Raw| Some(StoredStatus::of(raw));
        let (maglev_nodes, maglev_nodes_rx) = Listing::new(maglev_nodes, "MaglevNode", None, delays, stored);
        let news = ClusterNews { kinds: kinds_rx, nodes: nodes_rx, pods: pods_rx, maglev_nodes: maglev_nodes_rx };
        (Self { client, delays, kinds, nodes, pods, maglev_nodes }, news)
    }

    /// Watches until `shutdown`, or until nobody takes the news.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let (updates, updates_rx) = mpsc::channel(QUEUE);
            let causes = Arc::new(Causes::default());
            let watch = |kind| {
                let of = (kind, None);
                KindWatch::new(self.client.clone(), of, self.delays, Arc::clone(&causes), updates.clone()).run()
            };
            let watches = OURS.map(watch);
            drop(updates);
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = join_all(watches) => {}
                () = pass_on(updates_rx, self.kinds) => {}
                () = self.nodes.run(shutdown.clone()) => {}
                () = self.pods.run(shutdown.clone()) => {}
                () = self.maglev_nodes.run(shutdown.clone()) => {}
            }
        }
        .boxed()
    }
}

async fn pass_on(mut updates_rx: mpsc::Receiver<Update>, kinds: mpsc::Sender<KindNews>) {
    while let Some(Update { kind, first, gone, objects, .. }) = updates_rx.recv().await {
        let seen = objects.iter().map(|raw| Seen { object: raw.object(kind), stored: StoredStatus::of(raw) });
        let news = KindNews { kind, first, gone, seen: seen.collect() };
        if kinds.send(news).await.is_err() {
            return;
        }
    }
}

fn node(raw: &Raw) -> Option<NodeSeen> {
    let Object::Node(object) = raw.object(Kind::Node) else { return None };
    let conditions = raw.field("/status/conditions").and_then(Value::as_array);
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).map(str::to_owned);
    let ready = conditions.into_iter().flatten().find(|of| text(of, "type").as_deref() == Some("Ready"));
    let since = ready.filter(|of| text(of, "status").as_deref() != Some("True"));
    // One that says nothing of when has been so for ever.
    let not_ready_since = since
        .map(|of| text(of, "lastTransitionTime").and_then(|text| text.parse().ok()).unwrap_or(Timestamp::UNIX_EPOCH));
    Some(NodeSeen { object, uid: raw.revision().uid, not_ready_since })
}

fn pod(raw: &Raw) -> Option<BoundPod> {
    let text = |path: &str| raw.field(path).and_then(Value::as_str);
    if has_ended(text("/status/phase")) {
        return None;
    }
    Some(BoundPod { node: text("/spec/nodeName")?.into() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn raw(value: Value) -> Raw {
        serde_json::from_value(value).expect("an object with metadata")
    }

    #[test]
    fn a_node_is_not_ready_since_its_condition_says_so() {
        let with = |conditions: Value| {
            let object = json!({"metadata": {"name": "a", "uid": "u"}, "status": {"conditions": conditions}});
            node(&raw(object)).expect("a Node").not_ready_since
        };
        let at = "2026-11-23T02:00:00Z";
        let ready = |status: &str| json!([{"type": "Ready", "status": status, "lastTransitionTime": at}]);
        assert_eq!(with(json!([])), None);
        assert_eq!(with(ready("True")), None);
        for status in ["False", "Unknown"] {
            assert_eq!(with(ready(status)), Some(at.parse().expect("a time")));
        }
        assert_eq!(with(json!([{"type": "Ready", "status": "False"}])), Some(Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn a_pod_counts_from_its_binding_until_it_has_ended() {
        let pod = |spec: Value, status: Value| {
            pod(&raw(json!({"metadata": {"name": "m", "namespace": "lb"}, "spec": spec, "status": status})))
        };
        let bound = json!({"nodeName": "node-a"});
        assert_eq!(pod(json!({}), json!({})), None);
        assert_eq!(pod(bound.clone(), json!({"phase": "Pending"})), Some(BoundPod { node: "node-a".into() }));
        assert_eq!(pod(bound, json!({"phase": "Failed"})), None);
    }

    #[test]
    fn only_versions_of_one_object_that_are_numbers_are_compared() {
        let of = |uid: &str, version: &str| StoredStatus {
            uid: uid.into(),
            version: version.into(),
            ..StoredStatus::default()
        };
        assert!(of("u", "9").is_older_than(&of("u", "10")));
        assert!(!of("u", "10").is_older_than(&of("u", "10")));
        assert!(!of("v", "9").is_older_than(&of("u", "10")));
        assert!(!of("u", "x").is_older_than(&of("u", "10")));
    }
}

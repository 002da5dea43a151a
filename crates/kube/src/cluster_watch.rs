//! Watches everything that the controller computes status from: the configuration's kinds with their status, the Nodes,
//! the agents' pods and the MaglevNodes.
//!
//! Unlike [`Watches`](super::Watches) this one feeds no index: the controller compares the computed status with the
//! stored one. Called by `controller`.

use std::{collections::BTreeSet, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture, future::join_all};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, Client, core::ApiResource};
use maglev_net::LogThrottle;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Delays,
    agent_pods::SELECTOR,
    demand::{SliceWatch, watch_slices, watch_while_wanted},
    kind_watch::{KindWatch, RawUpdate},
    pod::has_ended,
    raw_object::RawObject,
    reflector::{Listed, Reflector},
};
use maglev_crd::MaglevNode;
use maglev_index::{NodeObject, Object};
use maglev_model::{Name, config::Kind};

/// Capacity of the queue before the controller: each update can be a whole list.
const QUEUE: usize = 16;
/// The kinds that users write.
const USER_KINDS: [Kind; 5] =
    [Kind::HealthCheck, Kind::Backend, Kind::Frontend, Kind::LoadBalancerConfig, Kind::AddressPolicy];

/// An update of one kind. To be applied in the order of the fields.
#[derive(Debug)]
pub struct KindUpdate {
    pub kind: Kind,
    /// The Services whose EndpointSlices are watched; `None` for all other kinds.
    pub services: Option<Arc<BTreeSet<Name>>>,
    /// True if `objects` is the first complete list of the kind.
    pub first: bool,
    pub deleted: Vec<Name>,
    /// New and changed objects, even if only their status changed.
    pub objects: Vec<ObservedObject>,
}

/// An object and its stored status.
#[derive(Clone, Debug)]
pub struct ObservedObject {
    /// The object in the form that the index reads.
    pub object: Object,
    pub stored: StoredStatus,
}

/// A status as stored by the API server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredStatus {
    /// `metadata.uid` of the object.
    pub uid: Arc<str>,
    /// `metadata.generation` of the object.
    pub generation: i64,
    /// `metadata.resourceVersion` of the object.
    pub version: String,
    /// `null` without a status.
    pub status: Value,
}

impl StoredStatus {
    pub(crate) fn from_raw(raw: &RawObject) -> Self {
        let revision = raw.revision();
        Self {
            uid: revision.uid,
            generation: revision.generation,
            version: raw.resource_version().to_owned(),
            status: raw.field("/status").cloned().unwrap_or_default(),
        }
    }

    /// True if this status was certainly stored before `other`. Since Kubernetes 1.35 the resourceVersions of one kind
    /// compare as numbers; without numbers the answer is false, and a write from a stale version is refused.
    pub fn is_older_than(&self, other: &Self) -> bool {
        let number = |status: &Self| status.version.parse::<u64>().ok();
        self.uid == other.uid && number(self).zip(number(other)).is_some_and(|(own, other)| own < other)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedNode {
    /// Name, labels and addresses.
    pub object: NodeObject,
    pub uid: Arc<str>,
    /// Time since which the condition Ready is not True; `None` if it is True or not set yet.
    pub not_ready_since: Option<Timestamp>,
}

/// An agent's pod that is scheduled and has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundPod {
    pub node: Arc<str>,
}

/// Receivers of the watched state.
pub struct ClusterReceivers {
    /// Updates of the kinds that users write, and of Namespaces and EndpointSlices while they are watched.
    pub kinds: mpsc::Receiver<KindUpdate>,
    pub nodes: watch::Receiver<Listed<ObservedNode>>,
    /// The agents' pods.
    pub pods: watch::Receiver<Listed<BoundPod>>,
    pub maglev_nodes: watch::Receiver<Listed<StoredStatus>>,
    /// The number of the watch of Namespaces, for [`NamespaceDemand`](super::NamespaceDemand); `None` to not watch them.
    pub namespaces: watch::Sender<Option<u64>>,
    /// The watch of EndpointSlices, for [`SliceDemand`](super::SliceDemand); `None` to not watch them.
    pub slices: watch::Sender<Option<SliceWatch>>,
}

/// The watches before they run.
pub struct ClusterWatch {
    client: Client,
    delays: Delays,
    kinds: mpsc::Sender<KindUpdate>,
    nodes: Reflector<RawObject, ObservedNode>,
    pods: Reflector<RawObject, BoundPod>,
    maglev_nodes: Reflector<RawObject, StoredStatus>,
    namespaces: watch::Receiver<Option<u64>>,
    slices: watch::Receiver<Option<SliceWatch>>,
}

impl ClusterWatch {
    /// Watches the agents' pods in `namespace`, and all other kinds in all namespaces.
    pub fn new(client: Client, namespace: &str, delays: Delays) -> (Self, ClusterReceivers) {
        let (kinds, kinds_rx) = mpsc::channel(QUEUE);
        let everywhere = |resource| Api::all_with(client.clone(), &resource);
        let nodes = everywhere(ApiResource::erase::<Node>(&()));
        let (nodes, nodes_rx) = Reflector::new(nodes, "Node", None, delays, node);
        let pods = Api::namespaced_with(client.clone(), namespace, &ApiResource::erase::<Pod>(&()));
        let (pods, pods_rx) = Reflector::new(pods, "Pod", Some(SELECTOR), delays, pod);
        let maglev_nodes = everywhere(ApiResource::erase::<MaglevNode>(&()));
        let stored = |raw: &RawObject| Some(StoredStatus::from_raw(raw));
        let (maglev_nodes, maglev_nodes_rx) = Reflector::new(maglev_nodes, "MaglevNode", None, delays, stored);
        let ((namespaces_tx, namespaces), (slices_tx, slices)) = (watch::channel(None), watch::channel(None));
        let receivers = ClusterReceivers {
            kinds: kinds_rx,
            nodes: nodes_rx,
            pods: pods_rx,
            maglev_nodes: maglev_nodes_rx,
            namespaces: namespaces_tx,
            slices: slices_tx,
        };
        (Self { client, delays, kinds, nodes, pods, maglev_nodes, namespaces, slices }, receivers)
    }

    /// Watches until `shutdown`, or until the receiver of the kinds is dropped.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let (updates, updates_rx) = mpsc::channel(QUEUE);
            let throttle = Arc::new(LogThrottle::default());
            let (client, delays) = (self.client, self.delays);
            let watch = {
                let updates = updates.clone();
                move |kind| KindWatch::new(client.clone(), kind, delays, Arc::clone(&throttle), updates.clone())
            };
            let watches = USER_KINDS.map(|kind| watch(kind).run());
            let (of_namespaces, of_slices) = (watch.clone(), watch);
            let namespaces = watch_while_wanted(move || of_namespaces(Kind::Namespace), self.namespaces);
            let slices = move |slices: SliceWatch| of_slices(Kind::EndpointSlice).of_services(slices.services);
            let slices = watch_slices(slices, self.slices);
            drop(updates);
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = join_all(watches) => {}
                () = namespaces => {}
                () = slices => {}
                () = forward(updates_rx, self.kinds) => {}
                () = self.nodes.run(shutdown.clone()) => {}
                () = self.pods.run(shutdown.clone()) => {}
                () = self.maglev_nodes.run(shutdown.clone()) => {}
            }
        }
        .boxed()
    }
}

async fn forward(mut updates_rx: mpsc::Receiver<RawUpdate>, kinds: mpsc::Sender<KindUpdate>) {
    while let Some(RawUpdate { kind, services, first, deleted, objects, .. }) = updates_rx.recv().await {
        let objects =
            objects.iter().map(|raw| ObservedObject { object: raw.object(kind), stored: StoredStatus::from_raw(raw) });
        let update = KindUpdate { kind, services, first, deleted, objects: objects.collect() };
        if kinds.send(update).await.is_err() {
            return;
        }
    }
}

fn node(raw: &RawObject) -> Option<ObservedNode> {
    let Object::Node(object) = raw.object(Kind::Node) else { return None };
    let conditions = raw.field("/status/conditions").and_then(Value::as_array);
    let text = |condition: &Value, key: &str| condition.get(key).and_then(Value::as_str).map(str::to_owned);
    let ready = conditions.into_iter().flatten().find(|condition| text(condition, "type").as_deref() == Some("Ready"));
    let not_ready = ready.filter(|condition| text(condition, "status").as_deref() != Some("True"));
    // Without a valid time the Node counts as not ready forever.
    let since = |condition: &Value| text(condition, "lastTransitionTime")?.parse().ok();
    let not_ready_since = not_ready.map(|condition| since(condition).unwrap_or(Timestamp::UNIX_EPOCH));
    Some(ObservedNode { object, uid: raw.revision().uid, not_ready_since })
}

fn pod(raw: &RawObject) -> Option<BoundPod> {
    let text = |path: &str| raw.field(path).and_then(Value::as_str);
    let owners = raw.field("/metadata/ownerReferences").and_then(Value::as_array);
    // As in `agent_pods`.
    let is_daemon_set = |owner: &Value| owner["kind"] == "DaemonSet" && owner["controller"] == true;
    if has_ended(text("/status/phase")) || !owners.is_some_and(|owners| owners.iter().any(is_daemon_set)) {
        return None;
    }
    Some(BoundPod { node: text("/spec/nodeName")?.into() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn raw(value: Value) -> RawObject {
        serde_json::from_value(value).expect("an object with metadata")
    }

    #[test]
    fn node_is_not_ready_since_its_condition_changed() {
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
    fn pod_counts_from_its_binding_until_it_has_ended() {
        let owner = json!({"kind": "DaemonSet", "name": "d", "uid": "d", "controller": true});
        let owned = json!({"name": "m", "namespace": "lb", "ownerReferences": [owner]});
        let with =
            |metadata: &Value, spec, status| pod(&raw(json!({"metadata": metadata, "spec": spec, "status": status})));
        let pod = |spec: Value, status: Value| with(&owned, spec, status);
        let bound = json!({"nodeName": "node-a"});
        assert_eq!(pod(json!({}), json!({})), None);
        assert_eq!(pod(bound.clone(), json!({"phase": "Pending"})), Some(BoundPod { node: "node-a".into() }));
        assert_eq!(pod(bound.clone(), json!({"phase": "Failed"})), None);
        assert_eq!(with(&json!({"name": "m", "namespace": "lb"}), bound, json!({})), None, "no DaemonSet owns the pod");
    }

    #[test]
    fn only_numeric_versions_of_one_object_are_compared() {
        let status = |uid: &str, version: &str| StoredStatus {
            uid: uid.into(),
            version: version.into(),
            ..StoredStatus::default()
        };
        assert!(status("u", "9").is_older_than(&status("u", "10")));
        assert!(!status("u", "10").is_older_than(&status("u", "10")));
        assert!(!status("v", "9").is_older_than(&status("u", "10")));
        assert!(!status("u", "x").is_older_than(&status("u", "10")));
    }
}

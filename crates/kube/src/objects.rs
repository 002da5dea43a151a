//! Metadata and conditions of the Maglev objects: generations, conditions, and the last writer. Watched for display in
//! the dashboard; no decision depends on them.

use std::{collections::BTreeMap, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture, future::join_all};
use imbl::OrdMap;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Api, Client, Resource as _,
    core::{ApiResource, DynamicObject},
    runtime::watcher::Event,
};
use maglev_net::LogThrottle;
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Delays,
    kinds::{name_of, watch_all},
    watch_loop::{WatchHandler, WatchLoopOptions, watch_loop},
};
use maglev_crd as crd;
use maglev_model::Name;

/// Prefix of the annotations that are shown.
const ANNOTATION_PREFIX: &str = "maglev.vpp.io/";

/// A kind of the group maglev.vpp.io.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    Backend,
    Frontend,
    HealthCheck,
    LoadBalancerConfig,
    MaglevNode,
}

impl ObjectKind {
    pub const ALL: [Self; 5] =
        [Self::Backend, Self::Frontend, Self::HealthCheck, Self::LoadBalancerConfig, Self::MaglevNode];

    /// The kind's name in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backend => "Backend",
            Self::Frontend => "Frontend",
            Self::HealthCheck => "HealthCheck",
            Self::LoadBalancerConfig => "LoadBalancerConfig",
            Self::MaglevNode => "MaglevNode",
        }
    }

    /// The full resource name on a kubectl command line.
    pub fn resource(self) -> &'static str {
        match self {
            Self::Backend => "backends.maglev.vpp.io",
            Self::Frontend => "frontends.maglev.vpp.io",
            Self::HealthCheck => "healthchecks.maglev.vpp.io",
            Self::LoadBalancerConfig => "loadbalancerconfigs.maglev.vpp.io",
            Self::MaglevNode => "maglevnodes.maglev.vpp.io",
        }
    }

    fn api_resource(self) -> ApiResource {
        match self {
            Self::Backend => ApiResource::erase::<crd::Backend>(&()),
            Self::Frontend => ApiResource::erase::<crd::Frontend>(&()),
            Self::HealthCheck => ApiResource::erase::<crd::HealthCheck>(&()),
            Self::LoadBalancerConfig => ApiResource::erase::<crd::LoadBalancerConfig>(&()),
            Self::MaglevNode => ApiResource::erase::<crd::MaglevNode>(&()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    pub kind: ObjectKind,
    pub name: Name,
}

/// Metadata and conditions of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    pub uid: String,
    pub created: Option<Timestamp>,
    /// `metadata.generation`.
    pub generation: i64,
    /// `status.observedGeneration`; `None` if no controller wrote it.
    pub observed_generation: Option<i64>,
    pub conditions: Vec<ObjectCondition>,
    /// The last change of the spec.
    pub changed: Option<Changed>,
    /// Annotations of the group maglev.vpp.io, without their prefix.
    pub annotations: BTreeMap<String, String>,
}

/// A condition of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectCondition {
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// A fixed PascalCase word.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// Last transition of `status`.
    pub since: Timestamp,
    /// The generation that the condition was computed for.
    pub observed_generation: Option<i64>,
}

/// A change of an object's spec, from `metadata.managedFields`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The field manager.
    pub by: String,
    pub at: Option<Timestamp>,
    /// `Apply` or `Update`.
    pub operation: String,
}

/// All Maglev objects. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    /// By kind and name.
    pub objects: OrdMap<ObjectKey, Arc<Object>>,
    /// Set once the first list of every kind is complete.
    pub listed: bool,
}

/// The watches before they run.
pub struct ObjectsWatch {
    client: Client,
    delays: Delays,
    objects: watch::Sender<Objects>,
}

impl ObjectsWatch {
    pub fn new(client: Client, delays: Delays) -> (Self, watch::Receiver<Objects>) {
        let (objects, objects_rx) = watch::channel(Objects::default());
        (Self { client, delays, objects }, objects_rx)
    }

    /// Watches until `shutdown`. A kind that cannot be listed keeps its last state and does not block other kinds.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let (objects, throttle) = (Arc::new(self.objects), Arc::new(LogThrottle::default()));
            let unlisted = watch::Sender::new(ObjectKind::ALL.to_vec());
            let watches = ObjectKind::ALL.map(|kind| {
                let api = Api::all_with(self.client.clone(), &kind.api_resource());
                let (objects, throttle, unlisted) = (Arc::clone(&objects), Arc::clone(&throttle), unlisted.clone());
                KindMirror { kind, objects, unlisted, incoming: None }.watch(api, self.delays, throttle).boxed()
            });
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = join_all(watches) => {}
            }
        }
        .boxed()
    }
}

/// The watch of one kind.
struct KindMirror {
    kind: ObjectKind,
    objects: Arc<watch::Sender<Objects>>,
    /// Kinds without a complete list.
    unlisted: watch::Sender<Vec<ObjectKind>>,
    /// The list in progress.
    incoming: Option<BTreeMap<Name, Arc<Object>>>,
}

impl KindMirror {
    async fn watch(mut self, api: Api<DynamicObject>, delays: Delays, throttle: Arc<LogThrottle>) {
        let options = WatchLoopOptions { kind: self.kind.as_str(), delays, throttle: &throttle };
        watch_loop(api, watch_all(delays.watch), &mut self, options).await;
    }

    fn set(&self, name: Name, object: Option<Arc<Object>>) {
        let key = ObjectKey { kind: self.kind, name };
        self.objects.send_if_modified(|all| match object {
            Some(object) => all.objects.insert(key, Arc::clone(&object)).as_ref() != Some(&object),
            None => all.objects.remove(&key).is_some(),
        });
    }

    fn complete_list(&mut self) {
        let listed = self.incoming.take().unwrap_or_default();
        let kind = self.kind;
        self.unlisted.send_modify(|unlisted| unlisted.retain(|other| *other != kind));
        let all_listed = self.unlisted.borrow().is_empty();
        self.objects.send_modify(|all| {
            let stored = all.objects.keys().filter(|key| key.kind == kind);
            let missing: Vec<_> = stored.filter(|key| !listed.contains_key(&key.name)).cloned().collect();
            for key in &missing {
                all.objects.remove(key);
            }
            for (name, object) in listed {
                let key = ObjectKey { kind, name };
                // An equal object keeps its Arc, so that readers see no difference.
                if all.objects.get(&key) != Some(&object) {
                    all.objects.insert(key, object);
                }
            }
            all.listed = all_listed;
        });
    }
}

impl WatchHandler<DynamicObject> for KindMirror {
    fn handle(&mut self, event: Event<DynamicObject>) {
        let read = |object: &DynamicObject| (name_of(object.meta()), Arc::new(read(object)));
        match event {
            Event::Init => self.incoming = Some(BTreeMap::new()),
            Event::InitApply(object) => self.incoming.get_or_insert_default().extend([read(&object)]),
            Event::InitDone => self.complete_list(),
            Event::Apply(object) => {
                let (name, object) = read(&object);
                self.set(name, Some(object));
            }
            Event::Delete(object) => self.set(name_of(object.meta()), None),
        }
    }

    fn object_count(&self) -> usize {
        self.objects.borrow().objects.keys().filter(|key| key.kind == self.kind).count()
    }
}

fn read(object: &DynamicObject) -> Object {
    let meta = object.meta();
    let status = |pointer: &str| object.data.pointer(pointer);
    let conditions =
        status("/status/conditions").and_then(|conditions| Vec::<crd::Condition>::deserialize(conditions).ok());
    let condition = |condition: crd::Condition| {
        let crd::Condition { type_, status, reason, message, last_transition_time, observed_generation } = condition;
        let since = timestamp(&last_transition_time).unwrap_or_default();
        ObjectCondition { type_, status, reason, message, since, observed_generation }
    };
    let own = |(key, value): (&String, &String)| Some((key.strip_prefix(ANNOTATION_PREFIX)?.to_owned(), value.clone()));
    Object {
        uid: meta.uid.clone().unwrap_or_default(),
        created: meta.creation_timestamp.as_ref().and_then(timestamp),
        generation: meta.generation.unwrap_or_default(),
        observed_generation: status("/status/observedGeneration").and_then(serde_json::Value::as_i64),
        conditions: conditions.unwrap_or_default().into_iter().map(condition).collect(),
        changed: last_spec_change(object),
        annotations: meta.annotations.iter().flatten().filter_map(own).collect(),
    }
}

/// Converts from the time type of k8s-openapi.
fn timestamp(time: &Time) -> Option<Timestamp> {
    Timestamp::new(time.0.as_second(), time.0.subsec_nanosecond()).ok()
}

/// The last change of the spec, according to the managed fields.
fn last_spec_change(object: &DynamicObject) -> Option<Changed> {
    let entries = object.meta().managed_fields.iter().flatten();
    let spec_entries = entries.filter(|entry| {
        let fields = entry.fields_v1.as_ref().and_then(|fields| fields.0.get("f:spec"));
        fields.is_some() && entry.subresource.as_deref().unwrap_or_default().is_empty()
    });
    let newest = spec_entries.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    Some(Changed {
        by: newest.manager.clone().unwrap_or_default(),
        at: newest.time.as_ref().and_then(timestamp),
        operation: newest.operation.clone().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn generations_conditions_and_last_writer_are_read() {
        let entry = |manager: &str, time: &str, fields: serde_json::Value, subresource: &str| json!({"manager": manager, "operation": "Apply", "time": time, "fieldsV1": fields, "subresource": subresource});
        let spec = || json!({"f:spec": {"f:pools": {}}});
        let object = json!({
            "metadata": {
                "name": "web", "namespace": "shop", "uid": "u", "generation": 7,
                "annotations": {"maglev.vpp.io/why": "a test", "other/one": "x"},
                "managedFields": [
                    entry("helm", "2026-11-23T01:00:00Z", spec(), ""),
                    entry("kubectl", "2026-11-23T02:00:00Z", spec(), ""),
                    entry("labeller", "2026-11-23T03:00:00Z", json!({"f:metadata": {}}), ""),
                    entry("controller", "2026-11-23T04:00:00Z", json!({"f:status": {}, "f:spec": {}}), "status"),
                ],
            },
            "status": {"observedGeneration": 6, "conditions": [{
                "type": "Ready", "status": "True", "reason": "Ready", "message": "",
                "lastTransitionTime": "2026-11-23T04:00:00Z", "observedGeneration": 6,
            }]},
        });
        let object: DynamicObject = serde_json::from_value(object).expect("an object");
        let read = read(&object);
        assert_eq!((read.generation, read.observed_generation), (7, Some(6)));
        assert_eq!(read.conditions.iter().map(|condition| condition.type_.as_str()).collect::<Vec<_>>(), ["Ready"]);
        assert_eq!(read.annotations, [("why".to_owned(), "a test".to_owned())].into());
        let at = "2026-11-23T02:00:00Z".parse().ok();
        assert_eq!(read.changed, Some(Changed { by: "kubectl".into(), at, operation: "Apply".into() }));
    }

    #[test]
    fn object_without_a_readable_status_has_no_conditions() {
        let object = json!({"metadata": {"name": "node-a"}, "status": {"conditions": "odd"}});
        let object: DynamicObject = serde_json::from_value(object).expect("an object");
        assert_eq!(read(&object), Object::default());
        assert_eq!(name_of(object.meta()).as_str(), "node-a");
    }
}

//! What Kubernetes knows of our objects beside their specs: generations, conditions, and who changed them last.
//! Watched for the dashboard, which shows it; nothing is decided from it.

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
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Delays,
    causes::Causes,
    follow::{Follower, follow},
    kinds::{name_of, watch_all},
};
use maglev_crd as crd;
use maglev_model::Name;

/// Annotations that are ours.
const OUR_PREFIX: &str = "maglev.vpp.io/";

/// A kind of ours.
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

    /// Its name in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backend => "Backend",
            Self::Frontend => "Frontend",
            Self::HealthCheck => "HealthCheck",
            Self::LoadBalancerConfig => "LoadBalancerConfig",
            Self::MaglevNode => "MaglevNode",
        }
    }

    /// Its full name on a command line.
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

/// What Kubernetes knows of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    pub uid: String,
    pub created: Option<Timestamp>,
    /// `metadata.generation`: what is wanted.
    pub generation: i64,
    /// `status.observedGeneration`; `None` where no controller wrote one.
    pub observed_generation: Option<i64>,
    pub conditions: Vec<ObjectCondition>,
    /// Who changed the spec last.
    pub changed: Option<Changed>,
    /// Our own annotations.
    pub annotations: BTreeMap<String, String>,
}

/// A condition of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectCondition {
    /// What it is about.
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in a fixed word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// Since when `status` is what it is.
    pub since: Timestamp,
    /// The generation that it was decided for.
    pub observed_generation: Option<i64>,
}

/// A change of an object's spec, as `metadata.managedFields` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The field manager.
    pub by: String,
    pub at: Option<Timestamp>,
    /// `Apply` or `Update`.
    pub operation: String,
}

/// All objects of ours. A clone is cheap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    /// By kind and name.
    pub objects: OrdMap<ObjectKey, Arc<Object>>,
    /// Every kind had its first complete list.
    pub listed: bool,
}

/// The watches before they run.
pub struct ObjectsWatch {
    client: Client,
    delays: Delays,
    objects: watch::Sender<Objects>,
}

impl ObjectsWatch {
    /// The watches, and where the objects appear.
    pub fn new(client: Client, delays: Delays) -> (Self, watch::Receiver<Objects>) {
        let (objects, objects_rx) = watch::channel(Objects::default());
        (Self { client, delays, objects }, objects_rx)
    }

    /// Watches until `shutdown`. A kind that cannot be listed stays as last seen and holds up no other.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let (objects, causes) = (Arc::new(self.objects), Arc::new(Causes::default()));
            let waiting = watch::Sender::new(ObjectKind::ALL.to_vec());
            let watches = ObjectKind::ALL.map(|kind| {
                let api = Api::all_with(self.client.clone(), &kind.api_resource());
                let (objects, causes, waiting) = (Arc::clone(&objects), Arc::clone(&causes), waiting.clone());
                OneKind { kind, objects, waiting, incoming: None }.watch(api, self.delays, causes).boxed()
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
struct OneKind {
    kind: ObjectKind,
    objects: Arc<watch::Sender<Objects>>,
    /// Kinds that were not listed yet.
    waiting: watch::Sender<Vec<ObjectKind>>,
    /// The list that is under way.
    incoming: Option<BTreeMap<Name, Arc<Object>>>,
}

impl OneKind {
    async fn watch(mut self, api: Api<DynamicObject>, delays: Delays, causes: Arc<Causes>) {
        let named = (self.kind.as_str(), &*causes);
        follow(api, watch_all(delays.watch), &mut self, delays, named).await;
    }

    fn set(&self, name: Name, object: Option<Arc<Object>>) {
        let key = ObjectKey { kind: self.kind, name };
        self.objects.send_if_modified(|all| match object {
            Some(object) => all.objects.insert(key, Arc::clone(&object)).as_ref() != Some(&object),
            None => all.objects.remove(&key).is_some(),
        });
    }

    fn listed(&mut self) {
        let listed = self.incoming.take().unwrap_or_default();
        let kind = self.kind;
        self.waiting.send_modify(|waiting| waiting.retain(|other| *other != kind));
        let all_listed = self.waiting.borrow().is_empty();
        self.objects.send_modify(|all| {
            let known = all.objects.keys().filter(|key| key.kind == kind);
            let gone: Vec<_> = known.filter(|key| !listed.contains_key(&key.name)).cloned().collect();
            for key in &gone {
                all.objects.remove(key);
            }
            for (name, object) in listed {
                let key = ObjectKey { kind, name };
                // An equal one stays the same value, so that it is no difference to anybody.
                if all.objects.get(&key) != Some(&object) {
                    all.objects.insert(key, object);
                }
            }
            all.listed = all_listed;
        });
    }
}

impl Follower<DynamicObject> for OneKind {
    fn take(&mut self, event: Event<DynamicObject>) {
        let read = |object: &DynamicObject| (name_of(object.meta()), Arc::new(read(object)));
        match event {
            Event::Init => self.incoming = Some(BTreeMap::new()),
            Event::InitApply(object) => self.incoming.get_or_insert_default().extend([read(&object)]),
            Event::InitDone => self.listed(),
            Event::Apply(object) => {
                let (name, object) = read(&object);
                self.set(name, Some(object));
            }
            Event::Delete(object) => self.set(name_of(object.meta()), None),
        }
    }

    fn kept(&self) -> usize {
        self.objects.borrow().objects.keys().filter(|key| key.kind == self.kind).count()
    }
}

fn read(object: &DynamicObject) -> Object {
    let meta = object.meta();
    let status = |pointer: &str| object.data.pointer(pointer);
    let conditions =
        status("/status/conditions").and_then(|conditions| Vec::<crd::Condition>::deserialize(conditions).ok());
    let condition = |of: crd::Condition| {
        let crd::Condition { type_, status, reason, message, last_transition_time, observed_generation } = of;
        let since = moment(&last_transition_time).unwrap_or_default();
        ObjectCondition { type_, status, reason, message, since, observed_generation }
    };
    let ours = |(key, value): (&String, &String)| Some((key.strip_prefix(OUR_PREFIX)?.to_owned(), value.clone()));
    Object {
        uid: meta.uid.clone().unwrap_or_default(),
        created: meta.creation_timestamp.as_ref().and_then(moment),
        generation: meta.generation.unwrap_or_default(),
        observed_generation: status("/status/observedGeneration").and_then(serde_json::Value::as_i64),
        conditions: conditions.unwrap_or_default().into_iter().map(condition).collect(),
        changed: changed(object),
        annotations: meta.annotations.iter().flatten().filter_map(ours).collect(),
    }
}

/// Kubernetes' types have a time of their own.
fn moment(time: &Time) -> Option<Timestamp> {
    Timestamp::new(time.0.as_second(), time.0.subsec_nanosecond()).ok()
}

/// The newest manager of a field of the spec.
fn changed(object: &DynamicObject) -> Option<Changed> {
    let entries = object.meta().managed_fields.iter().flatten();
    let of_spec = entries.filter(|entry| {
        let fields = entry.fields_v1.as_ref().and_then(|fields| fields.0.get("f:spec"));
        fields.is_some() && entry.subresource.as_deref().unwrap_or_default().is_empty()
    });
    let newest = of_spec.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    Some(Changed {
        by: newest.manager.clone().unwrap_or_default(),
        at: newest.time.as_ref().and_then(moment),
        operation: newest.operation.clone().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_tells_its_generations_conditions_and_who_changed_its_spec_last() {
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
        assert_eq!(read.conditions.iter().map(|of| of.type_.as_str()).collect::<Vec<_>>(), ["Ready"]);
        assert_eq!(read.annotations, [("why".to_owned(), "a test".to_owned())].into());
        let at = "2026-11-23T02:00:00Z".parse().ok();
        assert_eq!(read.changed, Some(Changed { by: "kubectl".into(), at, operation: "Apply".into() }));
    }

    #[test]
    fn an_object_that_nobody_wrote_a_status_for_says_so() {
        let object = json!({"metadata": {"name": "node-a"}, "status": {"conditions": "odd"}});
        let object: DynamicObject = serde_json::from_value(object).expect("an object");
        assert_eq!(read(&object), Object::default());
        assert_eq!(name_of(object.meta()).as_str(), "node-a");
    }
}

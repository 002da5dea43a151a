//! The object and the field that a change is about, as read from the API server.

mod node;

use std::{collections::BTreeSet, fmt};

use json_patch::Patch as JsonPatch;
use k8s_openapi::{
    api::core::v1::{Node, ObjectReference},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    ChangeError, ChangeRequest, MANAGER, list,
    ownership::{self, Step},
};
use maglev_crd::{self as crd, AdminState, DrainSpec, Frontend};
use maglev_model::{
    Name,
    derived::{DerivedName, Origin},
    operator_change::OperatorChange,
    printable::escaped,
    vip::Weight,
};

pub struct ChangeTarget {
    change: OperatorChange,
    /// The object's metadata as read.
    pub metadata: ObjectMeta,
    /// `metadata.generation` as read.
    pub generation: i64,
    /// JSON pointers of the fields, with their new values; `None` to remove a field that is set.
    pub fields: Vec<(String, Option<Value>)>,
    /// The current value, human-readable.
    pub old: String,
    /// The new value, human-readable.
    pub new: String,
    /// True if the field has the new value already.
    is_set: bool,
}

/// Values of a field.
struct FieldValues<T> {
    /// `None` if the object does not set the field.
    old: Option<T>,
    default: T,
    new: T,
}

/// An object after a write.
pub struct WrittenObject {
    pub generation: i64,
    reference: ObjectReference,
}

/// Name of the changed object.
pub fn name(change: &OperatorChange) -> Name {
    node::name(change).unwrap_or_else(|| change.object().clone())
}

/// Kind of the changed object.
pub fn kind(change: &OperatorChange) -> &'static str {
    match change {
        _ if node::name(change).is_some() => "Node",
        OperatorChange::AdminState { .. } | OperatorChange::Drain { .. } => "Backend",
        OperatorChange::Weight { .. } => "Frontend",
    }
}

impl ChangeTarget {
    pub async fn read(client: &Client, change: &OperatorChange) -> Result<Self, ChangeError> {
        if let Some(derived) = DerivedName::parse(change.object()) {
            return match node::DrainRequest::new(change) {
                Some(request) => Ok(Self::node(change, read::<Node>(client, change).await?, request)),
                None => Err(ChangeError::Derived(derived.how_to_change())),
            };
        }
        match change {
            OperatorChange::AdminState { state, .. } => {
                let backend: crd::Backend = read(client, change).await?;
                let (old, new) = (backend.spec.admin_state, AdminState::from(*state));
                let format = |state: AdminState| format!("{state:?}");
                let pointer = "/spec/adminState".to_owned();
                let values = FieldValues { old, default: AdminState::Enabled, new };
                Ok(Self::new(change, backend.metadata, pointer, &values, format))
            }
            OperatorChange::Drain { drain, .. } => {
                let backend: crd::Backend = read(client, change).await?;
                Ok(Self::drain(change, backend, drain.map(DrainSpec::from)))
            }
            OperatorChange::Weight { pool, backend, weight, .. } => {
                let frontend: Frontend = read(client, change).await?;
                let (pool, member) = find_member(&frontend, change.object(), pool, backend)?;
                let pointer = format!("/spec/pools/{pool}/backends/{member}/weight");
                let old = frontend.spec.pools[pool].named_backends()[member].weight.map(Weight::from);
                let (old, default) = (old.map(Weight::get), Weight::DEFAULT.get());
                let values = FieldValues { old, default, new: weight.get() };
                Ok(Self::new(change, frontend.metadata, pointer, &values, |weight| weight.to_string()))
            }
        }
    }

    fn new<T: PartialEq + Serialize + Copy>(
        change: &OperatorChange,
        metadata: ObjectMeta,
        pointer: String,
        values: &FieldValues<T>,
        format: impl Fn(T) -> String,
    ) -> Self {
        let FieldValues { old, default, new } = *values;
        let old_text = old.map_or_else(|| format!("{} (not set)", format(default)), &format);
        Self {
            change: change.clone(),
            generation: metadata.generation.unwrap_or(0),
            metadata,
            fields: vec![(pointer, Some(to_value(&new)))],
            old: old_text,
            new: format(new),
            is_set: old == Some(new),
        }
    }

    /// Pauses `backend`, and replaces the settings of its drain by `drain` if there are any.
    fn drain(change: &OperatorChange, backend: crd::Backend, drain: Option<DrainSpec>) -> Self {
        let crd::BackendSpec { admin_state, drain: old_drain, .. } = backend.spec;
        let paused = FieldValues { old: admin_state, default: AdminState::Enabled, new: AdminState::Paused };
        let mut target =
            Self::new(change, backend.metadata, "/spec/adminState".to_owned(), &paused, |state| format!("{state:?}"));
        if let Some(drain) = drain {
            let old = old_drain.as_ref().map_or_else(|| "no deadline".to_owned(), DrainSpec::to_string);
            target.fields.push(("/spec/drain".to_owned(), Some(to_value(&drain))));
            target.old = format!("{}, {old}", target.old);
            target.new = format!("{}, {drain}", target.new);
            target.is_set &= old_drain.as_ref() == Some(&drain);
        }
        target
    }

    /// True if the field has the new value already.
    pub fn is_set(&self) -> bool {
        self.is_set
    }

    /// Other field managers that own a field.
    pub fn owners(&self) -> Vec<String> {
        const ADMIN_STATE: &[Step<'static>] = &[Step::Field("spec"), Step::Field("adminState")];
        const DRAIN: &[Step<'static>] = &[Step::Field("spec"), Step::Field("drain")];
        let owners = |path: &[Step<'_>]| ownership::owners(&self.metadata, path);
        match &self.change {
            change if node::name(change).is_some() => owners(node::ANNOTATION),
            OperatorChange::AdminState { .. } | OperatorChange::Drain { drain: None, .. } => owners(ADMIN_STATE),
            OperatorChange::Drain { .. } => {
                let both: BTreeSet<String> = owners(ADMIN_STATE).into_iter().chain(owners(DRAIN)).collect();
                both.into_iter().collect()
            }
            OperatorChange::Weight { pool, backend, .. } => owners(&[
                Step::Field("spec"),
                Step::Field("pools"),
                Step::Item(pool),
                Step::Field("backends"),
                Step::Item(backend),
                Step::Field("weight"),
            ]),
        }
    }

    /// Applies the patch. Returns `None` if the object has changed since it was read.
    pub async fn write(&self, client: &Client, patch: &JsonPatch) -> Result<Option<WrittenObject>, ChangeError> {
        match &self.change {
            change if node::name(change).is_some() => self.write_as::<Node>(client, patch).await,
            OperatorChange::AdminState { .. } | OperatorChange::Drain { .. } => {
                self.write_as::<crd::Backend>(client, patch).await
            }
            OperatorChange::Weight { .. } => self.write_as::<Frontend>(client, patch).await,
        }
    }

    async fn write_as<T: Object>(
        &self,
        client: &Client,
        patch: &JsonPatch,
    ) -> Result<Option<WrittenObject>, ChangeError> {
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        let (change, name) = (&self.change, name(&self.change));
        match T::api(client, &name).patch(name.name(), &params, &Patch::<T>::Json(patch.clone())).await {
            Ok(object) => {
                let generation = T::generation(object.meta());
                Ok(Some(WrittenObject { generation, reference: object.object_ref(&()) }))
            }
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(None),
            // A removed item makes the patch invalid before the API server checks its resourceVersion.
            Err(kube::Error::Api(status))
                if status.is_invalid() && !self.is_current(&read::<T>(client, change).await?) =>
            {
                Ok(None)
            }
            Err(source) => Err(failed("change", change, source)),
        }
    }

    fn is_current<T: Object>(&self, now: &T) -> bool {
        now.meta().resource_version == self.metadata.resource_version
    }

    /// Writes a Kubernetes Event about the change.
    pub async fn publish(
        &self,
        client: &Client,
        request: &ChangeRequest,
        written: &WrittenObject,
    ) -> Result<(), kube::Error> {
        let reporter = Reporter { controller: MANAGER.into(), instance: None };
        let suffix = request.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        let (reason, action) = match &self.change {
            OperatorChange::AdminState { .. } => ("AdminStateChanged", "SetAdminState"),
            OperatorChange::Drain { .. } => ("AdminStateChanged", "Drain"),
            OperatorChange::Weight { .. } => ("WeightChanged", "SetWeight"),
        };
        let note = format!("{} set {} from {} to {}{suffix}", request.by, self.change, self.old, self.new);
        let mut note = escaped(&note).into_owned();
        note.truncate(note.floor_char_boundary(MAX_NOTE_BYTES));
        let event = Event {
            type_: EventType::Normal,
            reason: reason.into(),
            note: Some(note),
            action: action.into(),
            secondary: None,
        };
        Recorder::new(client.clone(), reporter).publish(&event, &written.reference).await
    }
}

fn to_value(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("specs, strings and numbers serialize")
}

/// Longest note that the API server accepts in an Event, in bytes.
const MAX_NOTE_BYTES: usize = 1024;

/// An object that operators change.
trait Object: Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + fmt::Debug {
    /// The endpoint of the object `name`.
    fn api(client: &Client, name: &Name) -> Api<Self>;

    /// The generation that agents report.
    fn generation(meta: &ObjectMeta) -> i64 {
        meta.generation.unwrap_or(0)
    }
}

impl Object for crd::Backend {
    fn api(client: &Client, name: &Name) -> Api<Self> {
        Api::namespaced(client.clone(), name.namespace())
    }
}

impl Object for Frontend {
    fn api(client: &Client, name: &Name) -> Api<Self> {
        Api::namespaced(client.clone(), name.namespace())
    }
}

async fn read<T: Object>(client: &Client, change: &OperatorChange) -> Result<T, ChangeError> {
    let (kind, name) = (kind(change), name(change));
    let object = T::api(client, &name).get_opt(name.name()).await;
    let object = object.map_err(|source| failed("read", change, source))?;
    object.ok_or(ChangeError::NotFound { kind, name })
}

fn failed(step: &'static str, change: &OperatorChange, source: kube::Error) -> ChangeError {
    ChangeError::Api { step, kind: kind(change), name: name(change), source: Box::new(source) }
}

/// Indexes of the pool and of its member.
fn find_member(frontend: &Frontend, name: &Name, pool: &str, backend: &str) -> Result<(usize, usize), ChangeError> {
    let pools = &frontend.spec.pools;
    let missing = |place: String, part: &'static str, requested: &str, existing: Vec<&str>| ChangeError::NoSuchPart {
        frontend: name.clone(),
        place,
        part,
        requested: requested.to_owned(),
        existing: if existing.is_empty() { "none".to_owned() } else { list(&existing) },
    };
    let index = pools.iter().position(|entry| entry.name == pool);
    let names = || pools.iter().map(|entry| &*entry.name).collect();
    let index = index.ok_or_else(|| missing("spec.pools".into(), "pool", pool, names()))?;
    if let Some(service) = &pools[index].service {
        return Err(ChangeError::Derived(format!(
            "the weights in pool {pool} of Frontend {name} follow Service {}: change spec.pools[{pool}].service.weight of the \
             Frontend, or the number of pods",
            service.name
        )));
    }
    let members = pools[index].named_backends();
    let member = members.iter().position(|entry| entry.name == backend);
    let names = || members.iter().map(|entry| &*entry.name).collect();
    let member = member.ok_or_else(|| missing(format!("pool {pool}"), "backend", backend, names()))?;
    Ok((index, member))
}

//! The object that a change is about, as it was read, and where in it the field is.

use std::fmt;

use json_patch::Patch as JsonPatch;
use k8s_openapi::{
    NamespaceResourceScope, api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    ActionError, MANAGER, OperatorAction, list,
    ownership::{self, Step},
};
use maglev_crd::{self as crd, AdminState, Frontend};
use maglev_model::{Name, by_hand::HandChange, vip::Weight};

/// The object and the field.
pub struct Target {
    change: HandChange,
    /// The object's metadata as read.
    pub metadata: ObjectMeta,
    /// `metadata.generation` as read.
    pub generation: i64,
    /// The field's place, as a JSON pointer.
    pub pointer: String,
    /// The value it gets.
    pub value: Value,
    /// The value it has, in words.
    pub old: String,
    /// The value it gets, in words.
    pub new: String,
    set: bool,
}

/// An object after a write.
pub struct Written {
    pub generation: i64,
    reference: ObjectReference,
}

/// The kind of the object that is changed.
pub fn kind(change: &HandChange) -> &'static str {
    match change {
        HandChange::AdminState { .. } => "Backend",
        HandChange::Weight { .. } => "Frontend",
    }
}

impl Target {
    pub async fn read(client: &Client, change: &HandChange) -> Result<Self, ActionError> {
        match change {
            HandChange::AdminState { state, .. } => {
                let backend: crd::Backend = read(client, change).await?;
                let (old, new) = (backend.spec.admin_state, AdminState::from(*state));
                let words = |state: AdminState| format!("{state:?}");
                let pointer = "/spec/adminState".to_owned();
                Ok(Self::new(change, backend.metadata, pointer, (old, AdminState::Enabled, new), words))
            }
            HandChange::Weight { pool, backend, weight, .. } => {
                let frontend: Frontend = read(client, change).await?;
                let (pool, member) = find(&frontend, change.object(), pool, backend)?;
                let pointer = format!("/spec/pools/{pool}/backends/{member}/weight");
                let old = frontend.spec.pools[pool].backends[member].weight.map(Weight::from);
                let values = (old.map(Weight::get), Weight::DEFAULT.get(), weight.get());
                Ok(Self::new(change, frontend.metadata, pointer, values, |weight| weight.to_string()))
            }
        }
    }

    fn new<T: PartialEq + Serialize + Copy>(
        change: &HandChange,
        metadata: ObjectMeta,
        pointer: String,
        (old, absent, new): (Option<T>, T, T),
        words: impl Fn(T) -> String,
    ) -> Self {
        let old_words = old.map_or_else(|| format!("{} (not set)", words(absent)), &words);
        Self {
            change: change.clone(),
            generation: metadata.generation.unwrap_or(0),
            metadata,
            pointer,
            value: serde_json::to_value(new).expect("a word or a number"),
            old: old_words,
            new: words(new),
            set: old == Some(new),
        }
    }

    /// Whether the field has the value already.
    pub fn is_set(&self) -> bool {
        self.set
    }

    /// Who else owns the field.
    pub fn owners(&self) -> Vec<String> {
        let path: &[Step<'_>] = match &self.change {
            HandChange::AdminState { .. } => &[Step::Field("spec"), Step::Field("adminState")],
            HandChange::Weight { pool, backend, .. } => &[
                Step::Field("spec"),
                Step::Field("pools"),
                Step::Item(pool),
                Step::Field("backends"),
                Step::Item(backend),
                Step::Field("weight"),
            ],
        };
        ownership::owners(&self.metadata, path)
    }

    /// Writes; `None` if the object is not any more what was read.
    pub async fn write(&self, client: &Client, patch: &JsonPatch) -> Result<Option<Written>, ActionError> {
        match &self.change {
            HandChange::AdminState { .. } => self.write_as::<crd::Backend>(client, patch).await,
            HandChange::Weight { .. } => self.write_as::<Frontend>(client, patch).await,
        }
    }

    async fn write_as<T: Object>(&self, client: &Client, patch: &JsonPatch) -> Result<Option<Written>, ActionError> {
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        let (change, name) = (&self.change, self.change.object());
        match api::<T>(client, name).patch(name.name(), &params, &Patch::<T>::Json(patch.clone())).await {
            Ok(object) => {
                let generation = object.meta().generation.unwrap_or(0);
                Ok(Some(Written { generation, reference: object.object_ref(&()) }))
            }
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(None),
            // An item that is not there any more makes the patch invalid before its resourceVersion is looked at.
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

    /// Tells of it in a Kubernetes Event.
    pub async fn publish(
        &self,
        client: &Client,
        action: &OperatorAction,
        written: &Written,
    ) -> Result<(), kube::Error> {
        let reporter = Reporter { controller: MANAGER.into(), instance: None };
        let why = action.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        let (reason, act) = match &self.change {
            HandChange::AdminState { .. } => ("AdminStateChanged", "SetAdminState"),
            HandChange::Weight { .. } => ("WeightChanged", "SetWeight"),
        };
        let mut note = format!("{} set {} from {} to {}{why}", action.by, self.change, self.old, self.new);
        note.truncate(note.floor_char_boundary(NOTE));
        let event = Event {
            type_: EventType::Normal,
            reason: reason.into(),
            note: Some(note),
            action: act.into(),
            secondary: None,
        };
        Recorder::new(client.clone(), reporter).publish(&event, &written.reference).await
    }
}

/// The most bytes that an Event's note may have.
const NOTE: usize = 1024;

/// An object of ours in a namespace.
trait Object:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + fmt::Debug
{
}
impl Object for crd::Backend {}
impl Object for Frontend {}

fn api<T: Object>(client: &Client, name: &Name) -> Api<T> {
    Api::namespaced(client.clone(), name.namespace())
}

async fn read<T: Object>(client: &Client, change: &HandChange) -> Result<T, ActionError> {
    let (kind, name) = (kind(change), change.object());
    let found = api::<T>(client, name).get_opt(name.name()).await;
    let found = found.map_err(|source| failed("read", change, source))?;
    found.ok_or_else(|| ActionError::NotFound { kind, name: name.clone() })
}

fn failed(step: &'static str, change: &HandChange, source: kube::Error) -> ActionError {
    ActionError::Api { step, kind: kind(change), name: change.object().clone(), source: Box::new(source) }
}

/// Where the member is.
fn find(frontend: &Frontend, name: &Name, pool: &str, backend: &str) -> Result<(usize, usize), ActionError> {
    let pools = &frontend.spec.pools;
    let missing = |what: String, found: &str, there: Vec<&str>| ActionError::NoSuchPart {
        frontend: name.clone(),
        what,
        found: found.to_owned(),
        there: if there.is_empty() { "none".to_owned() } else { list(&there) },
    };
    let at = pools.iter().position(|of| of.name == pool);
    let at = at.ok_or_else(|| missing("pool".into(), pool, pools.iter().map(|of| &*of.name).collect()))?;
    let members = &pools[at].backends;
    let member = members.iter().position(|of| of.name == backend);
    let there = || members.iter().map(|of| &*of.name).collect();
    let member = member.ok_or_else(|| missing(format!("backend in pool {pool}"), backend, there()))?;
    Ok((at, member))
}

//! Writes status, and the MaglevNodes, for whoever leads.
//!
//! Server-side apply under one name, carrying the `resourceVersion` that the status was computed from: what changed in
//! between refuses it, and so does an API server that heard of a later leader's write.

use std::{sync::Arc, time::Duration};

use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    core::ApiResource,
};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::{Leadership, causes::describe, cluster_watch::StoredStatus, guard::Raw, kinds};
use maglev_crd::{self as crd, MaglevNode};
use maglev_model::{Name, config::Kind};

/// The name that owns what is written here.
pub const FIELD_MANAGER: &str = "maglev-controller";
/// For one write.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a write did not happen, or is not known to have happened.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// We do not lead (any more): nothing was sent.
    #[error("the Lease is not ours any more")]
    NotLeading,
    /// The object changed since the status was computed: it is seen again soon.
    #[error("the object has changed meanwhile")]
    Conflict,
    /// There is no such object any more.
    #[error("the object is gone")]
    Gone,
    /// There was no answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The API server refused it, or cannot be reached.
    #[error("{0}")]
    Refused(String),
}

impl WriteError {
    /// The fixed word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotLeading => "NotLeading",
            Self::Conflict => "Conflict",
            Self::Gone => "Gone",
            Self::Timeout => "Timeout",
            Self::Refused(_) => "Refused",
        }
    }

    /// Whether trying again with the same may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Timeout | Self::Refused(_))
    }

    fn of(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 409 => Self::Conflict,
            kube::Error::Api(status) if status.code == 404 => Self::Gone,
            error => Self::Refused(describe(&error)),
        }
    }
}

/// What has a status that we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Written {
    /// One of the kinds that people write.
    Kind(Kind),
    MaglevNode,
}

impl Written {
    /// The kind's name in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kind(kind) => kind.as_str(),
            Self::MaglevNode => "MaglevNode",
        }
    }

    pub(crate) fn resource(self) -> ApiResource {
        match self {
            Self::Kind(kind) => kinds::resource(kind),
            Self::MaglevNode => ApiResource::erase::<MaglevNode>(&()),
        }
    }
}

/// Writes through one client.
#[derive(Clone)]
pub struct StatusWriter {
    client: Client,
    leadership: Arc<Leadership>,
}

impl StatusWriter {
    /// A writer for as long as `leadership` holds.
    pub fn new(client: Client, leadership: Arc<Leadership>) -> Self {
        Self { client, leadership }
    }

    /// Makes `status` that of the object `from` was seen of; returns what is stored then.
    ///
    /// # Errors
    /// [`WriteError`] says why it was not written.
    pub async fn write(
        &self,
        (what, name): (Written, &Name),
        from: &StoredStatus,
        status: &Value,
    ) -> Result<StoredStatus, WriteError> {
        let resource = what.resource();
        let mut metadata = json!({ "name": name.name(), "uid": &*from.uid, "resourceVersion": from.version });
        if !name.namespace().is_empty() {
            metadata["namespace"] = name.namespace().into();
        }
        let body = json!({
            "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "status": status,
        });
        let api = self.api(name, &resource);
        let (params, patch) = (PatchParams::apply(FIELD_MANAGER).force(), Patch::Apply(&body));
        let written = self.send(api.patch_status(name.name(), &params, &patch)).await?;
        Ok(StoredStatus::of(&written))
    }

    /// Makes the MaglevNode of a Node, which goes with it.
    ///
    /// # Errors
    /// [`WriteError`] says why it was not made.
    pub async fn make_maglev_node(&self, node: &str, node_uid: &str) -> Result<StoredStatus, WriteError> {
        let (name, resource) = (Name::cluster(node), Written::MaglevNode.resource());
        let owner = json!({ "apiVersion": "v1", "kind": "Node", "name": node, "uid": node_uid });
        let body = json!({
            "apiVersion": format!("{}/{}", crd::GROUP, crd::VERSION), "kind": resource.kind,
            "metadata": { "name": node, "ownerReferences": [owner] },
        });
        let api = self.api(&name, &resource);
        let (params, patch) = (PatchParams::apply(FIELD_MANAGER).force(), Patch::Apply(&body));
        let made = self.send(api.patch(node, &params, &patch)).await?;
        Ok(StoredStatus::of(&made))
    }

    /// Removes the MaglevNode of a Node that has no agent any more.
    ///
    /// # Errors
    /// [`WriteError`] says why it was not removed.
    pub async fn remove_maglev_node(&self, node: &str, seen: &StoredStatus) -> Result<(), WriteError> {
        let api = self.api(&Name::cluster(node), &Written::MaglevNode.resource());
        let preconditions = Preconditions { uid: Some(seen.uid.to_string()), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        self.send(api.delete(node, &params)).await.map(drop)
    }

    fn api(&self, name: &Name, resource: &ApiResource) -> Api<Raw> {
        match name.namespace() {
            "" => Api::all_with(self.client.clone(), resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, resource),
        }
    }

    /// Sends a request if we lead, and waits for its answer for no longer than we do.
    async fn send<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, WriteError> {
        if !self.leadership.holds() {
            return Err(WriteError::NotLeading);
        }
        let until = (Instant::now() + TIMEOUT).min(self.leadership.until());
        match timeout_at(until, request).await {
            Ok(answer) => answer.map_err(WriteError::of),
            Err(_) => Err(WriteError::Timeout),
        }
    }
}

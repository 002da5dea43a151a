//! Writes status and MaglevNodes on behalf of the leader.
//!
//! Server-side apply by one field manager, with the `resourceVersion` that the status was computed from: the API server
//! refuses the write if the object has changed since, for example by a later leader.

use std::{sync::Arc, time::Duration};

use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    core::ApiResource,
};
use maglev_net::error_chain;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::{Leadership, cluster_watch::StoredStatus, kinds, raw_object::RawObject};
use maglev_crd::{self as crd, MaglevNode};
use maglev_model::{Name, config::Kind};

/// The field manager of every write.
pub const FIELD_MANAGER: &str = "maglev-controller";
/// Timeout of one write.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A write that failed, or may have failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Nothing was sent.
    #[error("this replica does not hold the Lease")]
    NotLeading,
    /// The watch delivers the changed object soon.
    #[error("the object has changed since the status was computed")]
    Conflict,
    #[error("the object does not exist any more")]
    Gone,
    #[error("the API server did not answer in time")]
    Timeout,
    /// The API server refused the write, or cannot be reached.
    #[error("{0}")]
    Refused(String),
}

impl WriteError {
    /// A fixed PascalCase word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotLeading => "NotLeading",
            Self::Conflict => "Conflict",
            Self::Gone => "Gone",
            Self::Timeout => "Timeout",
            Self::Refused(_) => "Refused",
        }
    }

    fn from_kube(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 409 => Self::Conflict,
            kube::Error::Api(status) if status.code == 404 => Self::Gone,
            error => Self::Refused(error_chain(&error)),
        }
    }
}

/// A kind with a status that the controller writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StatusKind {
    /// A kind that users write.
    Kind(Kind),
    MaglevNode,
    /// A Service, about which there are Events. [`ServiceWriter`](super::ServiceWriter) writes its status.
    Service,
}

impl StatusKind {
    /// The kind's name in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kind(kind) => kind.as_str(),
            Self::MaglevNode => "MaglevNode",
            Self::Service => "Service",
        }
    }

    pub(crate) fn resource(self) -> ApiResource {
        match self {
            Self::Kind(kind) => kinds::resource(kind),
            Self::MaglevNode => ApiResource::erase::<MaglevNode>(&()),
            Self::Service => ApiResource::erase::<k8s_openapi::api::core::v1::Service>(&()),
        }
    }
}

/// The object to write.
#[derive(Clone, Copy, Debug)]
pub struct StatusObject<'a> {
    pub kind: StatusKind,
    pub name: &'a Name,
}

#[derive(Clone)]
pub struct StatusWriter {
    client: Client,
    leadership: Arc<Leadership>,
}

impl StatusWriter {
    /// Writes only while `leadership` holds.
    pub fn new(client: Client, leadership: Arc<Leadership>) -> Self {
        Self { client, leadership }
    }

    /// Writes the status of the object that `from` was read from. Returns the stored status.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write(
        &self,
        object: StatusObject<'_>,
        from: &StoredStatus,
        status: &Value,
    ) -> Result<StoredStatus, WriteError> {
        let StatusObject { kind, name } = object;
        let resource = kind.resource();
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
        Ok(StoredStatus::from_raw(&written))
    }

    /// Creates the MaglevNode of a Node. The Node is its owner, so both are deleted together.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn create_maglev_node(&self, node: &str, node_uid: &str) -> Result<StoredStatus, WriteError> {
        let (name, resource) = (Name::cluster(node), StatusKind::MaglevNode.resource());
        let owner = json!({ "apiVersion": "v1", "kind": "Node", "name": node, "uid": node_uid });
        let body = json!({
            "apiVersion": format!("{}/{}", crd::GROUP, crd::VERSION), "kind": resource.kind,
            "metadata": { "name": node, "ownerReferences": [owner] },
        });
        let api = self.api(&name, &resource);
        let (params, patch) = (PatchParams::apply(FIELD_MANAGER).force(), Patch::Apply(&body));
        let created = self.send(api.patch(node, &params, &patch)).await?;
        Ok(StoredStatus::from_raw(&created))
    }

    /// Deletes the MaglevNode `stored` of a Node that has no agent any more.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn delete_maglev_node(&self, node: &str, stored: &StoredStatus) -> Result<(), WriteError> {
        let api = self.api(&Name::cluster(node), &StatusKind::MaglevNode.resource());
        let preconditions = Preconditions { uid: Some(stored.uid.to_string()), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        self.send(api.delete(node, &params)).await.map(drop)
    }

    fn api(&self, name: &Name, resource: &ApiResource) -> Api<RawObject> {
        match name.namespace() {
            "" => Api::all_with(self.client.clone(), resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, resource),
        }
    }

    async fn send<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, WriteError> {
        send_while_leading(&self.leadership, request).await
    }
}

/// Sends a request if this replica leads, and waits for the answer only as long as the leadership holds.
pub(crate) async fn send_while_leading<T>(
    leadership: &Leadership,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, WriteError> {
    if !leadership.holds() {
        return Err(WriteError::NotLeading);
    }
    let deadline = (Instant::now() + TIMEOUT).min(leadership.deadline());
    match timeout_at(deadline, request).await {
        Ok(answer) => answer.map_err(WriteError::from_kube),
        Err(_) => Err(WriteError::Timeout),
    }
}

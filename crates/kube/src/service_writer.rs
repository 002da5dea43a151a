//! Writes the Frontends of Services, and the status of Services, on behalf of the leader.
//!
//! Server-side apply by one field manager. A Frontend that exists, and the status, are written only if the object is still
//! the one that the write was computed from; a new Frontend is applied without force, so that an object which another
//! client has just created under the same name is refused instead of overwritten.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    core::ApiResource,
};
use serde_json::{Value, json};

use super::{
    Leadership, kinds,
    raw_object::RawObject,
    service_objects::{FrontendObject, ServiceObject},
    status_writer::{WriteError, send_while_leading},
};
use maglev_model::{Name, config::Kind};

/// The field manager of every write.
pub const SERVICES_MANAGER: &str = "maglev-services";

/// The stored object that a write was computed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteBase {
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// `metadata.resourceVersion`.
    pub version: String,
}

#[derive(Clone)]
pub struct ServiceWriter {
    client: Client,
    leadership: Arc<Leadership>,
}

impl ServiceWriter {
    /// Writes only while `leadership` holds.
    pub fn new(client: Client, leadership: Arc<Leadership>) -> Self {
        Self { client, leadership }
    }

    /// Creates the Frontend `name`, or changes the one of `base`. `manifest` has all fields of the field manager.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn apply_frontend(
        &self,
        name: &Name,
        base: Option<&WriteBase>,
        manifest: &Value,
    ) -> Result<FrontendObject, WriteError> {
        let mut body = manifest.clone();
        let params = PatchParams::apply(SERVICES_MANAGER);
        let params = match base {
            Some(WriteBase { uid, version }) => {
                body["metadata"]["uid"] = json!(&**uid);
                body["metadata"]["resourceVersion"] = json!(version);
                params.force()
            }
            None => params,
        };
        let api = self.frontends(name);
        let patch = Patch::Apply(&body);
        let request = api.patch(name.name(), &params, &patch);
        send_while_leading(&self.leadership, request).await.map(|raw| FrontendObject::read(&raw))
    }

    /// Deletes the Frontend with this uid.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn delete_frontend(&self, name: &Name, uid: &str) -> Result<(), WriteError> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        let api = self.frontends(name);
        send_while_leading(&self.leadership, api.delete(name.name(), &params)).await.map(drop)
    }

    /// Writes the fields of `status` of a Service; those of other field managers stay.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write_status(&self, service: &ServiceObject, status: &Value) -> Result<(), WriteError> {
        let name = &service.name;
        let resource = ApiResource::erase::<Service>(&());
        let api: Api<RawObject> = Api::namespaced_with(self.client.clone(), name.namespace(), &resource);
        let body = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": name.name(), "namespace": name.namespace(), "uid": &*service.uid, "resourceVersion": service.version,
            },
            "status": status,
        });
        let (params, patch) = (PatchParams::apply(SERVICES_MANAGER).force(), Patch::Apply(&body));
        send_while_leading(&self.leadership, api.patch_status(name.name(), &params, &patch)).await.map(drop)
    }

    fn frontends(&self, name: &Name) -> Api<RawObject> {
        Api::namespaced_with(self.client.clone(), name.namespace(), &kinds::resource(Kind::Frontend))
    }
}

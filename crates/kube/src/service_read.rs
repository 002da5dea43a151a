//! Reads Services and Frontends once, for display. Called by `cli`.

use kube::{Api, Client, api::ListParams, core::ApiResource};
use serde_json::Value;

use super::{
    kinds,
    raw_object::RawObject,
    service_objects::{FrontendObject, ServiceObject},
};
use maglev_crd::FrontendSpec;
use maglev_index::{Object, Stored};
use maglev_model::{Name, config::Kind};

/// A Frontend with its owner and its spec.
#[derive(Clone, Debug)]
pub struct ReadFrontend {
    pub object: FrontendObject,
    pub stored: Stored<FrontendSpec>,
}

/// A Service of any type and class.
#[derive(Clone, Debug)]
pub struct ReadService {
    /// `spec.type`.
    pub service_type: String,
    /// `spec.loadBalancerClass`.
    pub class: Option<String>,
    /// The Service if it concerns this load balancer.
    pub object: Option<ServiceObject>,
}

/// Every Frontend, including those that do not decode; only those of `namespace`, if given.
///
/// # Errors
/// If the API server refuses the list or does not answer.
pub async fn read_frontends(client: &Client, namespace: Option<&str>) -> kube::Result<Vec<ReadFrontend>> {
    let resource = kinds::resource(Kind::Frontend);
    let api: Api<RawObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let listed = api.list(&ListParams::default()).await?;
    let frontend = |raw: &RawObject| match raw.object(Kind::Frontend) {
        Object::Frontend(stored) => Some(ReadFrontend { object: FrontendObject::read(raw), stored }),
        _ => None,
    };
    Ok(listed.items.iter().filter_map(frontend).collect())
}

/// The Service `name`; `None` if there is none.
///
/// # Errors
/// If the API server refuses the request or does not answer.
pub async fn read_service(client: &Client, name: &Name) -> kube::Result<Option<ReadService>> {
    let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Service>(&());
    let api: Api<RawObject> = Api::namespaced_with(client.clone(), name.namespace(), &resource);
    let Some(raw) = api.get_opt(name.name()).await? else { return Ok(None) };
    let text = |pointer: &str| raw.field(pointer).and_then(Value::as_str).map(str::to_owned);
    Ok(Some(ReadService {
        service_type: text("/spec/type").unwrap_or_else(|| "ClusterIP".to_owned()),
        class: text("/spec/loadBalancerClass"),
        object: ServiceObject::read(&raw),
    }))
}

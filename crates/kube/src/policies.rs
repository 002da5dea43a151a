//! Reads the AddressPolicies and Namespaces once, for display. Called by `cli`.

use kube::{Api, Client, api::ListParams};

use super::{kinds, raw_object::RawObject};
use maglev_crd::{AddressPolicySpec, AddressPolicyStatus};
use maglev_index::{NamespaceObject, Object, Stored};
use maglev_model::config::Kind;
use serde::Deserialize as _;

/// An AddressPolicy with its stored status.
#[derive(Clone, Debug)]
pub struct ReadPolicy {
    pub object: Stored<AddressPolicySpec>,
    /// Empty if it is absent or cannot be read.
    pub status: AddressPolicyStatus,
}

/// Every AddressPolicy, including those that do not decode.
///
/// # Errors
/// If the API server refuses the list or does not answer.
pub async fn read_policies(client: &Client) -> kube::Result<Vec<ReadPolicy>> {
    let objects = list(client, Kind::AddressPolicy).await?;
    Ok(objects.iter().filter_map(read_policy).collect())
}

/// Every Namespace.
///
/// # Errors
/// If the API server refuses the list or does not answer.
pub async fn read_namespaces(client: &Client) -> kube::Result<Vec<NamespaceObject>> {
    let objects = list(client, Kind::Namespace).await?;
    let namespace = |raw: &RawObject| match raw.object(Kind::Namespace) {
        Object::Namespace(namespace) => Some(namespace),
        _ => None,
    };
    Ok(objects.iter().filter_map(namespace).collect())
}

async fn list(client: &Client, kind: Kind) -> kube::Result<Vec<RawObject>> {
    let api: Api<RawObject> = Api::all_with(client.clone(), &kinds::resource(kind));
    Ok(api.list(&ListParams::default()).await?.items)
}

fn read_policy(raw: &RawObject) -> Option<ReadPolicy> {
    let Object::AddressPolicy(object) = raw.object(Kind::AddressPolicy) else { return None };
    let status = raw.field("/status").and_then(|status| AddressPolicyStatus::deserialize(status).ok());
    Some(ReadPolicy { object, status: status.unwrap_or_default() })
}

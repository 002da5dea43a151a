//! The input of the index: stored objects, including objects that do not decode.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;

use crate::claims::Age;
use maglev_crd::{AddressPolicySpec, BackendSpec, FrontendSpec, HealthCheckSpec, LoadBalancerConfigSpec};
use maglev_model::{
    Name,
    config::{Kind, Revision},
};

/// The metadata that the index needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    pub name: Name,
    /// `metadata.uid` and `metadata.generation`.
    pub revision: Revision,
    /// `metadata.creationTimestamp`; the older object wins a conflict.
    pub created: Timestamp,
}

impl Meta {
    /// The age of the object.
    pub(crate) fn age(&self) -> Age {
        Age { created: self.created, name: self.name.clone() }
    }
}

/// The spec of a stored object that does not decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The stored `spec`; `null` if the object has none.
    pub spec: serde_json::Value,
    /// The error message of the decoder.
    pub error: String,
}

/// A stored custom resource.
#[derive(Clone, Debug)]
pub struct Stored<S> {
    pub meta: Meta,
    pub spec: Result<S, Unreadable>,
}

/// The relevant fields of a Node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeObject {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// The addresses of type `InternalIP`, in the order of `status.addresses`.
    pub addresses: Vec<IpAddr>,
}

/// The relevant fields of a Namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceObject {
    pub name: String,
    pub labels: BTreeMap<String, String>,
}

/// An object of a watched kind.
#[derive(Clone, Debug)]
pub enum Object {
    HealthCheck(Stored<HealthCheckSpec>),
    Backend(Stored<BackendSpec>),
    Frontend(Stored<FrontendSpec>),
    LoadBalancerConfig(Stored<LoadBalancerConfigSpec>),
    AddressPolicy(Stored<AddressPolicySpec>),
    /// A Namespace, whose labels AddressPolicies select.
    Namespace(NamespaceObject),
    /// A Node. Its addresses are refused as addresses of Frontends; the labels of the agent's own Node select its settings.
    Node(NodeObject),
}

impl Object {
    pub fn kind(&self) -> Kind {
        match self {
            Self::HealthCheck(_) => Kind::HealthCheck,
            Self::Backend(_) => Kind::Backend,
            Self::Frontend(_) => Kind::Frontend,
            Self::LoadBalancerConfig(_) => Kind::LoadBalancerConfig,
            Self::AddressPolicy(_) => Kind::AddressPolicy,
            Self::Namespace(_) => Kind::Namespace,
            Self::Node(_) => Kind::Node,
        }
    }

    pub fn name(&self) -> Name {
        match self {
            Self::HealthCheck(object) => object.meta.name.clone(),
            Self::Backend(object) => object.meta.name.clone(),
            Self::Frontend(object) => object.meta.name.clone(),
            Self::LoadBalancerConfig(object) => object.meta.name.clone(),
            Self::AddressPolicy(object) => object.meta.name.clone(),
            Self::Namespace(namespace) => Name::cluster(&namespace.name),
            Self::Node(node) => Name::cluster(&node.name),
        }
    }
}

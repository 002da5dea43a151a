//! What the index takes in: stored objects as the API server has them, those that do not decode
//! included.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;

use maglev_crd::{BackendSpec, FrontendSpec, HealthCheckSpec, LoadBalancerConfigSpec};
use maglev_model::{
    Name,
    config::{Kind, Revision},
};

/// What the index needs of an object's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// `namespace/name`, or the bare name of a cluster-scoped object.
    pub name: Name,
    /// `metadata.uid` and `metadata.generation`.
    pub revision: Revision,
    /// `metadata.creationTimestamp`: of two objects in conflict, the older one wins.
    pub created: Timestamp,
}

/// The spec of a stored object that does not decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The object's `spec` as it is stored; `null` where it has none.
    pub spec: serde_json::Value,
    /// What the decoder says.
    pub error: String,
}

/// One stored custom resource.
#[derive(Clone, Debug)]
pub struct Stored<S> {
    pub meta: Meta,
    /// Its spec, as far as it decodes.
    pub spec: Result<S, Unreadable>,
}

/// What is of interest of the agent's own Node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeObject {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// The addresses of type `InternalIP`, in the order of `status.addresses`.
    pub addresses: Vec<IpAddr>,
}

/// One object of a watched kind.
#[derive(Clone, Debug)]
pub enum Object {
    HealthCheck(Stored<HealthCheckSpec>),
    Backend(Stored<BackendSpec>),
    Frontend(Stored<FrontendSpec>),
    LoadBalancerConfig(Stored<LoadBalancerConfigSpec>),
    /// A Node; any but the agent's own is ignored.
    Node(NodeObject),
}

impl Object {
    pub fn kind(&self) -> Kind {
        match self {
            Self::HealthCheck(_) => Kind::HealthCheck,
            Self::Backend(_) => Kind::Backend,
            Self::Frontend(_) => Kind::Frontend,
            Self::LoadBalancerConfig(_) => Kind::LoadBalancerConfig,
            Self::Node(_) => Kind::Node,
        }
    }

    pub fn name(&self) -> Name {
        match self {
            Self::HealthCheck(object) => object.meta.name.clone(),
            Self::Backend(object) => object.meta.name.clone(),
            Self::Frontend(object) => object.meta.name.clone(),
            Self::LoadBalancerConfig(object) => object.meta.name.clone(),
            Self::Node(node) => Name::cluster(&node.name),
        }
    }
}

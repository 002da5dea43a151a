//! The input of the index: stored objects, including objects that do not decode.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use jiff::Timestamp;

use crate::claims::Age;
use maglev_crd::{AddressPolicySpec, BackendSpec, FrontendSpec, HealthCheckSpec, LoadBalancerConfigSpec};
use maglev_model::{
    Name,
    config::{Kind, Revision},
    vip::{Family, Protocol},
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeObject {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// The addresses of type `InternalIP`, in the order of `status.addresses`.
    pub addresses: Vec<IpAddr>,
    /// The annotation [`DRAIN_ANNOTATION`](maglev_crd::DRAIN_ANNOTATION).
    pub drain: Option<String>,
    /// `spec.unschedulable`: the Node is cordoned.
    pub unschedulable: bool,
}

/// The relevant fields of a Namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceObject {
    pub name: String,
    pub labels: BTreeMap<String, String>,
}

/// The relevant fields of an EndpointSlice (`discovery.k8s.io/v1`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSliceObject {
    pub name: Name,
    /// The Service, from the label `kubernetes.io/service-name`.
    pub service: Name,
    /// `metadata.generation`: of two slices with the same endpoint, the newer generation counts.
    pub generation: i64,
    /// `addressType`; `None` if unreadable.
    pub address_type: Option<AddressType>,
    /// The ports and endpoints, or the error message of the decoder.
    pub content: Result<SliceContent, String>,
}

/// The type of the addresses of an EndpointSlice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressType {
    Ip(Family),
    /// Host names, which no pool can use.
    Fqdn,
}

/// The ports and endpoints of an EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SliceContent {
    pub ports: Vec<SlicePort>,
    pub endpoints: Vec<SliceEndpoint>,
}

/// A port of an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// The name of the Service's port; empty if it has none.
    pub name: Arc<str>,
    /// The port of the endpoints; `None` for all ports.
    pub port: Option<u16>,
    /// `None` for a protocol that no Frontend has.
    pub protocol: Option<Protocol>,
}

/// An endpoint of an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// The first address: all addresses of an endpoint lead to the same pod.
    pub address: IpAddr,
    pub state: EndpointState,
    /// The Node that the endpoint is on.
    pub node: Option<Arc<str>>,
}

/// The state of an endpoint, from its conditions. The order is that of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndpointState {
    NotReady,
    /// Terminating: it keeps its flows and gets no new ones.
    Draining,
    Ready,
}

impl EndpointState {
    /// The state for the conditions of an endpoint; an absent `ready` is true. The condition `serving` has no effect: a server
    /// that closes its listening socket and completes its requests is no longer serving while its flows go on.
    pub fn from_conditions(ready: Option<bool>, terminating: Option<bool>) -> Self {
        match (ready.unwrap_or(true), terminating.unwrap_or(false)) {
            (true, _) => Self::Ready,
            (false, true) => Self::Draining,
            (false, false) => Self::NotReady,
        }
    }
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
    /// A Node. Its addresses are refused as addresses of Frontends, and are those of Backends in pools that follow a Service;
    /// the labels of the agent's own Node select its settings.
    Node(NodeObject),
    /// An EndpointSlice of a Service that a pool follows.
    EndpointSlice(EndpointSliceObject),
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
            Self::EndpointSlice(_) => Kind::EndpointSlice,
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
            Self::EndpointSlice(slice) => slice.name.clone(),
        }
    }
}

//! The custom resources of the group `maglev.vpp.io`, one kind per file.
//!
//! The types decode strictly: a stored value that the schema of this version would not accept (an
//! unknown enum value, a number out of range, an address that is not canonical) is an error, so that
//! `index` treats the object as unreadable and never acts on half of its spec. Unknown fields are
//! ignored, since a newer version may have added them. Rules over several fields of one object are
//! CEL in the schema; rules over several objects are in `index`.
//!
//! The doc comments of the fields are the descriptions that `kubectl explain` prints.
//!
//! `crds/*.yaml` is generated from here ([`all`], [`yaml`]) by `make crds`.

#![warn(missing_docs)]
#![allow(rustdoc::broken_intra_doc_links, reason = "in texts for `kubectl explain`, brackets are not links")]

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

mod address;
mod address_policy;
mod backend;
mod condition;
mod disruption;
mod duration;
mod error;
mod frontend;
mod header;
mod health_check;
mod load_balancer_config;
mod maglev_node;
mod network;
mod node_drain;
mod number;
mod path_probe;
mod pool;
mod ramp_up;
mod reference;
mod schema;
mod services;
mod status_range;
#[cfg(test)]
mod tests;
mod text;

pub use address::{Address, Ipv4Source, Ipv6Source};
pub use address_policy::{
    AddressPolicy, AddressPolicySpec, AddressPolicyStatus, Assign, BackendGrant, BodyCheck, FrontendGrant,
    FrontendPorts, Limits, NamespaceSelector, Namespaces, OnRevoke, PolicyMode, PortRange, ProbeGrant,
};
pub use backend::{AdminState, Backend, BackendSpec, BackendState, BackendStatus, DrainSpec, OnDeadline};
pub use condition::Condition;
pub use disruption::Disruption;
pub use duration::Duration;
pub use error::ValueError;
pub use frontend::{
    Encap, EncapType, Frontend, FrontendSpec, FrontendStatus, L3dsr, OnBackendDown, Protocol, SessionAffinity,
};
pub use header::{Header, HeaderSource, SecretKeyRef};
pub use health_check::{
    CheckType, ConnectionMode, Grpc, HealthCheck, HealthCheckSpec, HealthCheckStatus, Http, HttpMethod, Interval,
    Timeout, Tls,
};
pub use load_balancer_config::{
    ForeignVips, LoadBalancerConfig, LoadBalancerConfigSpec, LoadBalancerConfigStatus, Probe, Sync, Vpp,
};
pub use maglev_node::{
    Capability, FailingFrontend, MAX_ACCEPTED_HOLDS, MaglevNode, MaglevNodeFields, MaglevNodeSpec, MaglevNodeStatus,
    NodeVpp,
};
pub use network::Network;
pub use node_drain::DRAIN_ANNOTATION;
pub use number::{Count, Dscp, Int, Port, PowerOfTwo, TableLength, Weight};
pub use path_probe::{PacketSize, PathInterval, PathProbe, PathProbeMode};
pub use pool::{ExternalTrafficPolicy, Pool, PoolBackend, PoolService, ServiceTargets};
pub use ramp_up::RampUp;
pub use reference::{CaCertificateKind, CaCertificateRef, LocalRef};
pub use schema::yaml;
pub use services::{DrainTrigger, NodeCheckType, NodeHealthCheck, Services};
pub use status_range::StatusRange;

/// The API group.
pub const GROUP: &str = "maglev.vpp.io";
/// The API version, both served and stored.
pub const VERSION: &str = "v1alpha1";

/// All CustomResourceDefinitions, ready to be applied.
pub fn all() -> Vec<CustomResourceDefinition> {
    [
        HealthCheck::crd(),
        Backend::crd(),
        Frontend::crd(),
        LoadBalancerConfig::crd(),
        AddressPolicy::crd(),
        MaglevNode::crd(),
    ]
    .into_iter()
    .map(schema::finish)
    .collect()
}

//! The pools of a Frontend: Backends of its namespace, or the endpoints of a Service.

#![expect(unreachable_pub, reason = "KubeSchema copies each struct, with its visibility, into a function")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    number::{Port, Weight},
    reference::LocalRef,
    text,
};

/// A group of backends.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.backends) != has(self.service)")
        .message("set either backends or service").field_path(".backends")
)]
pub struct Pool {
    /// Name of the pool, such as primary: lower-case letters, digits and hyphens, at most 63
    /// characters. Must be unique within the Frontend. Required.
    #[schemars(schema_with = "text::label")]
    pub name: String,

    /// Backends of the pool: at most 256, each listed once. A backend may be in several pools. May be
    /// empty. Required, unless service is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub backends: Option<Vec<PoolBackend>>,

    /// Service whose endpoints the pool follows. Excludes backends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<PoolService>,
}

impl Pool {
    /// The Backends that the pool names; empty for a pool that follows a Service.
    pub fn named_backends(&self) -> &[PoolBackend] {
        self.backends.as_deref().unwrap_or_default()
    }
}

/// A backend in a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolBackend {
    /// Name of a Backend in the namespace of the Frontend. Required.
    #[schemars(schema_with = "text::object_name")]
    pub name: String,

    /// Share of new flows relative to the other backends of the pool: 0 (no new flows) to 100. If
    /// absent, 10.
    ///
    /// The schema has no default for this field: a manifest without it does not own it, so GitOps
    /// tools do not revert a change that an operator made by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Weight>,
}

/// A Service whose endpoints a pool follows. Every agent reads its EndpointSlices by itself.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.port) || !has(self.targetPort)")
        .message("set port (a name) or targetPort (a number), not both").reason(Reason::FieldValueForbidden).field_path(".targetPort"),
    validation = Rule::new("self.targets == 'Endpoints' || !has(self.healthCheckRef)")
        .message("healthCheckRef is only for targets Endpoints: Nodes have one health check, services.nodeHealthCheck of the LoadBalancerConfig").reason(Reason::FieldValueForbidden).field_path(".healthCheckRef"),
    validation = Rule::new("self.targets == 'Nodes' || !has(self.externalTrafficPolicy)")
        .message("externalTrafficPolicy is only for targets Nodes").reason(Reason::FieldValueForbidden).field_path(".externalTrafficPolicy")
)]
pub struct PoolService {
    /// Name of a Service in the namespace of the Frontend. Required.
    #[schemars(schema_with = "text::label")]
    pub name: String,

    /// Receivers of the packets. Required.
    ///
    /// * Nodes: the Nodes that run the Service's pods. The Service proxy of the Node must take the
    ///   packets out of their tunnel and pass them to a pod.
    /// * Endpoints: the endpoints' own addresses, which must accept packets to the VIP, for example
    ///   servers outside of the cluster that the EndpointSlices of a Service without selector list.
    pub targets: ServiceTargets,

    /// Name of the Service's port, as in its ports and EndpointSlices. May be absent, like
    /// targetPort, if the Service has one port with the protocol of the Frontend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text::label")]
    pub port: Option<String>,

    /// Number of the Service's port, as its EndpointSlices list it: the port of the pods, which may
    /// differ from that of the Service. 1 to 65535. Excludes port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_port: Option<Port>,

    /// Nodes that take traffic, for targets Nodes. Set it like externalTrafficPolicy of the Service.
    ///
    /// * Local (the default): Nodes with an endpoint, each with weight times the number of its ready
    ///   endpoints, at most 100.
    /// * Cluster: every Node, with equal weights. Nodes forward to pods of other Nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ExternalTrafficPolicy")]
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,

    /// Weight of each ready endpoint, or with externalTrafficPolicy Cluster of each Node: 0 (no new
    /// flows) to 100. If absent, 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Weight>,

    /// HealthCheck of the endpoints, in the namespace of the Frontend, for targets Endpoints. If
    /// absent, the endpoints are not probed: the conditions in the EndpointSlices decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_ref: Option<LocalRef>,
}

/// Receivers of the packets of a pool that follows a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ServiceTargets {
    /// The Nodes that run the Service's pods.
    Nodes,
    /// The endpoints' own addresses.
    Endpoints,
}

/// Nodes that take traffic of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ExternalTrafficPolicy {
    /// Nodes with an endpoint.
    #[default]
    Local,
    /// Every Node.
    Cluster,
}

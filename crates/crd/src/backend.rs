//! Backend: an application server.

#![expect(clippy::duplicated_attributes, reason = "every printer column has a type")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    address::Address,
    condition::{self, Condition},
    reference::LocalRef,
};
use maglev_model as model;

/// An application server: its address, how it is probed, and whether it may take traffic.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "maglev.vpp.io",
    version = "v1alpha1",
    kind = "Backend",
    namespaced,
    shortname = "mbe",
    category = "maglev",
    status = "BackendStatus",
    derive = "PartialEq",
    doc = "An application server that Frontends of the same namespace send traffic to. A Frontend names it in one of its pools; any number of Frontends may share one.",
    printcolumn(
        name = "Address",
        type_ = "string",
        json_path = ".spec.address",
        description = "Where packets are sent."
    ),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "Up, Down, Unknown, Paused, Disabled, or Mixed where nodes disagree."
    ),
    printcolumn(
        name = "Admin",
        type_ = "string",
        json_path = ".spec.adminState",
        description = "What the operator wants; empty is Enabled."
    ),
    printcolumn(
        name = "Check",
        type_ = "string",
        json_path = ".spec.healthCheckRef.name",
        description = "The HealthCheck; empty is always up."
    ),
    printcolumn(
        name = "Since",
        type_ = "date",
        json_path = ".status.since",
        description = "For how long it has been in this state."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct BackendSpec {
    /// The server's IPv4 or IPv6 address, such as 192.0.2.1 or 2001:db8::1. Not unspecified,
    /// multicast, broadcast, link-local, IPv4-mapped or in ::/96; loopback addresses are for sandboxes
    /// only.
    ///
    /// It may be changed: health is then unknown until the new address was probed.
    pub address: Address,

    /// The HealthCheck of this namespace that this backend is probed with. If absent, it is not
    /// probed and always up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_ref: Option<LocalRef>,

    /// Whether the backend may take traffic. If absent, Enabled.
    ///
    /// * Enabled: it takes traffic while it is up.
    /// * Paused: it takes no new flows; flows that it has stay with it. It is not probed.
    /// * Disabled: it takes no traffic; flows that it has move to other backends. It is not probed.
    ///
    /// There is no default in the schema, so a manifest that leaves it out does not own it, and no
    /// GitOps tool undoes what was changed by hand at night.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "AdminState")]
    pub admin_state: Option<AdminState>,
}

/// Whether a backend may take traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AdminState {
    /// While it is up.
    #[default]
    Enabled,
    /// No new flows.
    Paused,
    /// None.
    Disabled,
}

impl From<AdminState> for model::config::AdminState {
    fn from(state: AdminState) -> Self {
        match state {
            AdminState::Enabled => Self::Enabled,
            AdminState::Paused => Self::Paused,
            AdminState::Disabled => Self::Disabled,
        }
    }
}

impl From<model::config::AdminState> for AdminState {
    fn from(state: model::config::AdminState) -> Self {
        match state {
            model::config::AdminState::Enabled => Self::Enabled,
            model::config::AdminState::Paused => Self::Paused,
            model::config::AdminState::Disabled => Self::Disabled,
        }
    }
}

/// What the controller found, over all nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = condition::pending(&["Accepted", "ResolvedRefs", "Ready"])))]
pub struct BackendStatus {
    /// The metadata.generation that this status was decided for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Accepted: the spec makes sense. ResolvedRefs: the HealthCheck was found. Ready: both, whatever
    /// its health.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::conditions")]
    pub conditions: Vec<Condition>,

    /// What the nodes say: Up, Down, Unknown, Paused, Disabled, or Mixed where they disagree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BackendState")]
    pub state: Option<BackendState>,

    /// Since when it has been in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<Time>,

    /// Nodes that have it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub nodes_up: Option<i32>,

    /// Nodes that have it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub nodes_down: Option<i32>,

    /// Nodes that do not know yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub nodes_unknown: Option<i32>,

    /// Nodes that report about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub nodes_reporting: Option<i32>,
}

/// What the nodes say of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum BackendState {
    /// It answers.
    Up,
    /// It does not.
    Down,
    /// Not probed yet, or not to be probed.
    Unknown,
    /// By `adminState`.
    Paused,
    /// By `adminState`.
    Disabled,
    /// The nodes disagree.
    Mixed,
}

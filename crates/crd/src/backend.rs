//! Backend: an application server.

#![expect(clippy::duplicated_attributes, reason = "every printer column has a type")]
#![expect(unreachable_pub, reason = "KubeSchema copies each struct, with its visibility, into a function")]

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    address::Address,
    condition::{self, Condition},
    duration::Duration,
    reference::LocalRef,
};
use maglev_model as model;

/// Desired state of a Backend: the address of the application server, its health check and its admin state.
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
    doc = "An application server that Frontends of the same namespace send traffic to. The pools of a Frontend refer to Backends by name; any number of Frontends may share a Backend.",
    printcolumn(
        name = "Address",
        type_ = "string",
        json_path = ".spec.address",
        description = "Address of the application server."
    ),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "Up, Down, Unknown, Paused, Disabled, or Mixed if nodes disagree."
    ),
    printcolumn(
        name = "Admin",
        type_ = "string",
        json_path = ".spec.adminState",
        description = "Admin state set by the operator; empty means Enabled."
    ),
    printcolumn(
        name = "Check",
        type_ = "string",
        json_path = ".spec.healthCheckRef.name",
        description = "Name of the HealthCheck; empty means that the backend is always up."
    ),
    printcolumn(
        name = "Since",
        type_ = "date",
        json_path = ".status.since",
        description = "Time since the last change of state."
    ),
    printcolumn(
        name = "Drained",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Drained\")].reason",
        priority = 1,
        description = "Reason of the condition Drained, while the backend is paused or disabled."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct BackendSpec {
    /// IPv4 or IPv6 address of the application server, in canonical spelling, such as 192.0.2.1 or
    /// 2001:db8::1. Required. Must not be unspecified, multicast, broadcast, link-local, IPv4-mapped
    /// or in ::/96. Loopback addresses are for sandboxes only.
    ///
    /// May be changed; the health of the backend is then unknown until the new address has been
    /// probed.
    pub address: Address,

    /// Reference to the HealthCheck, in the namespace of the Backend, that probes the backend. If
    /// absent, the backend is not probed and counts as always up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_ref: Option<LocalRef>,

    /// Admin state set by the operator. If absent, Enabled.
    ///
    /// * Enabled: the backend takes traffic while it is up.
    /// * Paused: the backend gets no new flows and keeps its existing flows. It is not probed.
    /// * Disabled: the backend gets no traffic; its existing flows move to other backends. It is not
    ///   probed.
    ///
    /// The schema has no default for this field: a manifest without it does not own it, so GitOps
    /// tools do not revert a change that an operator made by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "AdminState")]
    pub admin_state: Option<AdminState>,

    /// Deadline of a drain, and the action on flows that are left then. Used while adminState is
    /// Paused. If absent, a drain has no deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DrainSpec")]
    pub drain: Option<DrainSpec>,
}

/// The settings of a drain.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.onDeadline) || has(self.deadline)")
        .message("onDeadline needs a deadline").field_path(".deadline"),
)]
pub struct DrainSpec {
    /// Time that the flows of the paused backend have to end, from 1s to 24h, in whole seconds. Each
    /// node counts it from the moment at which VPP has weight 0 for the backend in every VIP; a
    /// restarted agent starts again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Duration<1000, 86_400_000, 1000>")]
    pub deadline: Option<Duration<1000, 86_400_000, 1000>>,

    /// Action on the flows that are left at the deadline. If absent, Keep.
    ///
    /// * Keep: the flows stay until they end.
    /// * Flush: the flows move to other backends. TCP connections among them break.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OnDeadline")]
    pub on_deadline: Option<OnDeadline>,
}

impl From<model::drain::DrainConf> for DrainSpec {
    fn from(model::drain::DrainConf { deadline, on_deadline }: model::drain::DrainConf) -> Self {
        let deadline = deadline.and_then(Duration::new);
        Self { deadline, on_deadline: deadline.map(|_| on_deadline.into()) }
    }
}

/// Without a deadline, there is no action, whatever an object that was stored without the schema's rule says.
impl From<&DrainSpec> for model::drain::DrainConf {
    fn from(DrainSpec { deadline, on_deadline }: &DrainSpec) -> Self {
        let deadline = deadline.map(Duration::get);
        let on_deadline = on_deadline.filter(|_| deadline.is_some()).unwrap_or_default().into();
        Self { deadline, on_deadline }
    }
}

/// In words: the action and the deadline, such as `Flush after 10m`.
impl fmt::Display for DrainSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.deadline {
            Some(deadline) => write!(f, "{:?} after {deadline}", self.on_deadline.unwrap_or_default()),
            None => f.write_str("no deadline"),
        }
    }
}

/// The action on the flows that are left at the deadline of a drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OnDeadline {
    /// The flows stay until they end.
    #[default]
    Keep,
    /// The flows move to other backends.
    Flush,
}

impl From<OnDeadline> for model::drain::OnDeadline {
    fn from(action: OnDeadline) -> Self {
        match action {
            OnDeadline::Keep => Self::Keep,
            OnDeadline::Flush => Self::Flush,
        }
    }
}

impl From<model::drain::OnDeadline> for OnDeadline {
    fn from(action: model::drain::OnDeadline) -> Self {
        match action {
            model::drain::OnDeadline::Keep => Self::Keep,
            model::drain::OnDeadline::Flush => Self::Flush,
        }
    }
}

/// The admin state of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AdminState {
    /// The backend takes traffic while it is up.
    #[default]
    Enabled,
    /// The backend gets no new flows and keeps its existing flows.
    Paused,
    /// The backend gets no traffic; its existing flows move to other backends.
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

/// Observed state of a Backend over all nodes, written by the controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = condition::pending(&["Accepted", "ResolvedRefs", "Ready"])))]
pub struct BackendStatus {
    /// The metadata.generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Conditions of the Backend.
    ///
    /// * Accepted: the spec is valid.
    /// * ResolvedRefs: the HealthCheck exists and is readable, or none is named.
    /// * Ready: Accepted and ResolvedRefs are true. Does not depend on the health of the backend.
    /// * Drained: the backend has no flows left on any node. Present only while adminState is Paused or
    ///   Disabled. Unknown while a node does not report.
    /// * PolicyViolation: an AddressPolicy in mode Audit would not allow the Backend. Present only while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::conditions")]
    pub conditions: Vec<Condition>,

    /// State of the backend as reported by the nodes: Up, Down, Unknown, Paused, Disabled, or Mixed
    /// if nodes disagree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BackendState")]
    pub state: Option<BackendState>,

    /// Time of the last change of state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<Time>,

    /// Number of nodes on which the backend is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub nodes_up: Option<i32>,

    /// Number of nodes on which the backend is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub nodes_down: Option<i32>,

    /// Number of nodes on which the state of the backend is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub nodes_unknown: Option<i32>,

    /// Number of nodes that report a state of the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub nodes_reporting: Option<i32>,
}

/// The state of a backend as reported by the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum BackendState {
    /// Probes succeed, or the Backend names no HealthCheck.
    Up,
    /// Probes fail.
    Down,
    /// No probe has finished yet, or the backend cannot be probed.
    Unknown,
    /// `adminState` is `Paused`.
    Paused,
    /// `adminState` is `Disabled`.
    Disabled,
    /// Nodes report different states.
    Mixed,
}

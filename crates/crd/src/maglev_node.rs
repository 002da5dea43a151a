//! MaglevNode: what the controller knows of a load-balancer node. Nobody types one.

#![expect(clippy::duplicated_attributes, reason = "every printer column has a type")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::{self, Condition};

/// Nothing: a MaglevNode is all status.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "maglev.vpp.io",
    version = "v1alpha1",
    kind = "MaglevNode",
    shortname = "mnode",
    category = "maglev",
    no_spec,
    status = "MaglevNodeStatus",
    derive = "PartialEq",
    doc = "A load-balancer node as the controller sees it: its agent, its VPP, and how much of what is wanted VPP has. Written by the controller alone; it bears the name of its Node and goes with it.",
    printcolumn(name = "VPP", type_ = "string", json_path = ".status.vpp.version", description = "VPP's version."),
    printcolumn(
        name = "Connected",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"VPPConnected\")].status",
        description = "Whether the agent has a connection to VPP."
    ),
    printcolumn(name = "VIPs", type_ = "integer", json_path = ".status.vips", description = "VIPs in VPP."),
    printcolumn(
        name = "Failed",
        type_ = "integer",
        json_path = ".status.frontendsFailed",
        description = "Frontends that could not be programmed."
    ),
    printcolumn(
        name = "Last-Sync",
        type_ = "date",
        json_path = ".status.lastSyncTime",
        description = "When all of VPP was last compared."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct MaglevNodeSpec {}

/// What the controller found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = condition::pending(&["AgentConnected", "VPPConnected", "Ready"])))]
pub struct MaglevNodeStatus {
    /// The metadata.generation that this status was decided for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// AgentConnected: the controller hears from maglevd. VPPConnected: maglevd hears from VPP.
    /// Ready: both. Only when true: ProbePathSuspect, RemovalHeld.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::conditions")]
    pub conditions: Vec<Condition>,

    /// The node's VPP; absent while it is not connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpp: Option<NodeVpp>,

    /// What this VPP's load balancer can do: Weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub capabilities: Vec<Capability>,

    /// The LoadBalancerConfig that the node uses; absent for the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer_config: Option<String>,

    /// VIPs in VPP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub vips: Option<i32>,

    /// Application servers in VPP, over all VIPs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub application_servers: Option<i32>,

    /// Frontends that VPP has as they stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub frontends_programmed: Option<i32>,

    /// Frontends that are left as VPP has them, for something about them is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub frontends_held: Option<i32>,

    /// Frontends that could not be programmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub frontends_failed: Option<i32>,

    /// The failed and held ones, at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["namespace", "name"]))]
    pub failing_frontends: Vec<FailingFrontend>,

    /// Whether there are more than failingFrontends names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<bool>,

    /// When all of VPP was last compared with what it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_sync_time: Option<Time>,
}

/// A node's VPP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeVpp {
    /// Its version, such as 26.10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,

    /// When it was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_date: Option<String>,

    /// Since when the agent has been connected to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub connected_since: Option<Time>,
}

/// What a VPP's load balancer can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Capability {
    /// Application servers have weights.
    Weights,
}

/// A Frontend that is not programmed as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailingFrontend {
    /// Its namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,

    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Why, in one fixed word.
    #[schemars(length(max = 64))]
    pub reason: String,
}

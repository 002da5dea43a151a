//! MaglevNode: the observed state of a load-balancer node. The controller creates and deletes it and writes its status;
//! users write its spec.

#![expect(clippy::duplicated_attributes, reason = "every printer column has a type")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::{self, Condition};

/// The parts of a MaglevNode beside its status. The controller creates a MaglevNode without a spec.
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
    doc = "Observed state of a load-balancer node: the connection to its agent, its VPP, and the progress of programming Frontends. Created by the controller, which writes the status; users write the spec. It has the name of its Node and is deleted with the Node.",
    printcolumn(name = "VPP", type_ = "string", json_path = ".status.vpp.version", description = "Version of VPP."),
    printcolumn(
        name = "Connected",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"VPPConnected\")].status",
        description = "True if the agent is connected to VPP."
    ),
    printcolumn(name = "VIPs", type_ = "integer", json_path = ".status.vips", description = "Number of VIPs in VPP."),
    printcolumn(
        name = "Failed",
        type_ = "integer",
        json_path = ".status.frontendsFailed",
        description = "Number of Frontends that could not be programmed."
    ),
    printcolumn(
        name = "Differing",
        type_ = "integer",
        json_path = ".status.vipsDiffering",
        description = "Number of VIPs whose new-flow table differs from that of other nodes."
    ),
    printcolumn(
        name = "Last-Sync",
        type_ = "date",
        json_path = ".status.lastSyncTime",
        description = "Time of the last full comparison of VPP with the desired state."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct MaglevNodeFields {
    /// Requests of operators to the agent of this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<MaglevNodeSpec>,
}

/// Requests of operators to the agent of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaglevNodeSpec {
    /// IDs of removal holds whose removals the agent makes now. An ID that the node does not hold has no effect. The
    /// condition RemovalHeld and `maglevc show nodes` list the holds; `maglevc accept` sets this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "hold_ids")]
    pub accept_removals: Option<Vec<String>>,
}

/// Limit of `spec.acceptRemovals`.
pub const MAX_ACCEPTED_HOLDS: usize = 8;

fn hold_ids(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "maxItems": MAX_ACCEPTED_HOLDS,
        "x-kubernetes-list-type": "set",
        "items": { "type": "string", "pattern": "^[0-9a-f]{8}$" },
    })
}

/// Observed state of a load-balancer node, written by the controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = condition::pending(&["AgentConnected", "VPPConnected", "Ready"])))]
pub struct MaglevNodeStatus {
    /// The metadata.generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Conditions of the node.
    ///
    /// * AgentConnected: the controller is connected to maglevd.
    /// * VPPConnected: maglevd is connected to VPP.
    /// * Ready: AgentConnected and VPPConnected are true.
    /// * ProbePathSuspect, RemovalHeld, StateNotWritable: present only while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::conditions")]
    pub conditions: Vec<Condition>,

    /// VPP of the node; absent while the agent is not connected to VPP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpp: Option<NodeVpp>,

    /// Capabilities of the VPP load balancer: Weights (per-backend weights).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub capabilities: Vec<Capability>,

    /// Name of the LoadBalancerConfig that the node uses; absent if the node uses the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer_config: Option<String>,

    /// Number of VIPs in VPP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub vips: Option<i32>,

    /// Number of application servers in VPP, summed over all VIPs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub application_servers: Option<i32>,

    /// Number of VIPs of Frontends whose new-flow table in VPP has differed for more than 10 s from that of most other
    /// nodes, or from that of any other node if no table has a majority. Absent while the controller is not connected to
    /// the agent, or the agent not to VPP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub vips_differing: Option<i32>,

    /// Number of Frontends that VPP matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub frontends_programmed: Option<i32>,

    /// Number of Frontends that are left unchanged in VPP because of a problem with their spec or
    /// references.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub frontends_held: Option<i32>,

    /// Number of Frontends that could not be programmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub frontends_failed: Option<i32>,

    /// Frontends that failed or are held: at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["namespace", "name"]))]
    pub failing_frontends: Vec<FailingFrontend>,

    /// True if failingFrontends is incomplete because more than 50 Frontends failed or are held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<bool>,

    /// Time of the last full comparison of VPP with the desired state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_sync_time: Option<Time>,
}

/// The VPP process of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeVpp {
    /// Version of VPP, such as 26.10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,

    /// Build date of VPP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_date: Option<String>,

    /// Time at which the agent connected to VPP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub connected_since: Option<Time>,
}

/// A capability of the VPP load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Capability {
    /// Application servers have weights (VPP 26.10 and later).
    Weights,
}

/// A Frontend that VPP does not match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailingFrontend {
    /// Namespace of the Frontend.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,

    /// Name of the Frontend.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Reason as one PascalCase word, such as NoSourceAddress.
    #[schemars(length(max = 64))]
    pub reason: String,
}

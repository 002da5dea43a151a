//! Settings of pools that follow a Service, in a LoadBalancerConfig.

#![expect(unreachable_pub, reason = "KubeSchema copies each struct, with its visibility, into a function")]

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{number::Port, text};

/// Settings of pools that follow a Service.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Services {
    /// Health check of the Nodes in pools with targets Nodes: one for each Node, however many Services
    /// use it.
    #[serde(default)]
    pub node_health_check: NodeHealthCheck,

    /// Labels that a Node must have to be in a pool with targets Nodes; all of them must match. At least
    /// 1, at most 16. If absent, every Node. Nodes with the label
    /// node.kubernetes.io/exclude-from-external-load-balancers are never in a pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        extend("maxProperties" = 16),
        extend("additionalProperties" = text::label_value())
    )]
    #[x_kube(validation = Rule::new(text::LABEL_KEYS)
        .message("must have label names as keys, such as kubernetes.io/arch"))]
    #[x_kube(validation = Rule::new("self.size() > 0")
        .message("must have a label with a value; for every Node, leave out nodeSelector"))]
    pub node_selector: Option<BTreeMap<String, String>>,

    /// States of a Node that drain it: VPP sends it no new flows in pools with targets Nodes, and its
    /// flows stay, as with `maglevc drain node`. If absent, none: a cordon does nothing.
    ///
    /// * Unschedulable: spec.unschedulable of the Node is true, as after `kubectl cordon`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1), extend("x-kubernetes-list-type" = "set"))]
    pub drain_on: Vec<DrainTrigger>,
}

/// A state of a Node that drains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DrainTrigger {
    /// The Node takes no new pods.
    Unschedulable,
}

/// Health check of the Nodes in pools that follow a Service. It has the schedule of a HealthCheck with the default
/// interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeHealthCheck {
    /// Type of the probes.
    ///
    /// * HTTP (the default): a GET request must return a status from 200 to 399. The default port and
    ///   path are those of the health server of kube-proxy.
    /// * TCP: connects to the port.
    /// * None: Nodes are not probed and always up.
    #[serde(rename = "type", default)]
    pub check_type: NodeCheckType,

    /// Port that is probed: 1 to 65535. Default: 10256.
    #[serde(default = "port")]
    pub port: Port,

    /// Path of the request of type HTTP, optionally with a query: at most 1024 characters. Default:
    /// /livez.
    #[serde(default = "path")]
    #[schemars(schema_with = "text::path")]
    pub path: String,
}

fn port() -> Port {
    const { Port::literal(10256) }
}

fn path() -> String {
    "/livez".into()
}

impl Default for NodeHealthCheck {
    fn default() -> Self {
        Self { check_type: NodeCheckType::default(), port: port(), path: path() }
    }
}

/// The type of the probes of Nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum NodeCheckType {
    /// HTTP request.
    #[default]
    #[serde(rename = "HTTP")]
    Http,
    /// TCP connection.
    #[serde(rename = "TCP")]
    Tcp,
    /// No probes.
    None,
}

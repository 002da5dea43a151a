//! LoadBalancerConfig: settings of load-balancer nodes.

#![expect(unreachable_pub, reason = "KubeSchema copies each struct, with its visibility, into a function")]

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    address::{Ipv4Source, Ipv6Source},
    condition::{self, Condition},
    duration::Duration,
    network::Network,
    number::{Int, PowerOfTwo},
    services::Services,
    text,
};
use maglev_model as model;

/// Desired state of a LoadBalancerConfig: a node selector and the settings of the selected nodes.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "maglev.vpp.io",
    version = "v1alpha1",
    kind = "LoadBalancerConfig",
    shortname = "mlbc",
    category = "maglev",
    status = "LoadBalancerConfigStatus",
    derive = "PartialEq",
    doc = "Settings of load-balancer nodes: global settings of VPP, synchronization of VPP, and probes. Each node uses exactly one LoadBalancerConfig: the oldest one whose nodeSelector matches the labels of the Node. If none matches, the node uses the defaults.",
    printcolumn(
        name = "Nodes",
        type_ = "integer",
        json_path = ".status.nodes",
        description = "Number of nodes that use this LoadBalancerConfig."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancerConfigSpec {
    /// Labels that a Node must have to be selected; all of them must match. At least 1, at most 16.
    /// If absent, every Node is selected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        extend("maxProperties" = 16),
        extend("additionalProperties" = text::label_value())
    )]
    #[x_kube(validation = Rule::new(text::LABEL_KEYS)
        .message("must have label names as keys, such as kubernetes.io/arch"))]
    #[x_kube(validation = Rule::new("self.size() > 0")
        .message("must have a label with a value; to select every Node, leave out nodeSelector"))]
    pub node_selector: Option<BTreeMap<String, String>>,

    /// Global settings of the VPP load balancer. An absent setting keeps the value that VPP has.
    #[serde(default)]
    pub vpp: Vpp,

    /// Settings of the synchronization of VPP.
    #[serde(default)]
    pub sync: Sync,

    /// Settings of the probes of backends.
    #[serde(default)]
    pub probe: Probe,

    /// Settings of pools that follow a Service. They apply to the whole cluster, not only to the
    /// selected nodes: those of the oldest LoadBalancerConfig that has them are used. If absent in all,
    /// the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<Services>,

    /// Networks whose addresses no Frontend and no Backend may have, whatever AddressPolicies allow: at most 64. Applies
    /// to the whole cluster, not only to the selected nodes. VIPs and servers that VPP has are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "set"))]
    pub never_addresses: Vec<Network>,
}

/// Global settings of the VPP load balancer (`lb_conf`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Vpp {
    /// Source address of tunnels to IPv4 backends. If absent, the address configured in VPP; if VPP
    /// has none, the IPv4 InternalIP of the Node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4_source_address: Option<Ipv4Source>,

    /// Source address of tunnels to IPv6 backends. If absent, the address configured in VPP; if VPP
    /// has none, the IPv6 InternalIP of the Node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6_source_address: Option<Ipv6Source>,

    /// Number of buckets of the flow table (sticky table) of each VPP worker: a power of two from 1
    /// to 16777216. If absent, the value that VPP has. Changing it forgets all flows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky_buckets_per_core: Option<PowerOfTwo<0, 24>>,

    /// Idle time after which VPP forgets a flow: 1s to 24h, in whole seconds. If absent, the value
    /// that VPP has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_timeout: Option<Duration<1000, 86_400_000, 1000>>,

    /// Limit of the buckets of all Frontends' tables (tableLength) on a node: 256 to 1073741824. Default:
    /// 4194304, which is 512 Frontends of the default tableLength. VPP aborts when its memory is exhausted. Frontends
    /// that do not fit, the youngest ones, are held (NodeFull); a VIP that VPP has is never removed for
    /// this.
    #[serde(default = "max_table_entries")]
    pub max_table_entries: Int<256, 1_073_741_824>,
}

impl Default for Vpp {
    fn default() -> Self {
        Self {
            ipv4_source_address: None,
            ipv6_source_address: None,
            sticky_buckets_per_core: None,
            flow_timeout: None,
            max_table_entries: max_table_entries(),
        }
    }
}

fn max_table_entries() -> Int<256, 1_073_741_824> {
    const { Int::literal(4 << 20) }
}

/// Settings of the synchronization of VPP.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("![self.startupMinDelay, self.startupMaxDelay].all(text, text.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')) || duration(self.startupMinDelay) <= duration(self.startupMaxDelay)")
        .message("startupMinDelay (5s if absent) must not be longer than startupMaxDelay (30s if absent)").field_path(".startupMinDelay")
)]
pub struct Sync {
    /// Time between two full comparisons of VPP with the desired state: 1s to 1h. Default: 30s. Also
    /// the longest delay before a failed request to VPP is retried.
    #[serde(default = "interval")]
    pub interval: Duration<1000, 3_600_000>,

    /// Time after a start of the agent during which VPP is not changed: 0s to 10m, not longer than
    /// startupMaxDelay. Default: 5s.
    #[serde(default = "startup_min_delay")]
    pub startup_min_delay: Duration<0, 600_000>,

    /// Longest time after a start of the agent to wait for the first probe results of backends: 0s
    /// to 10m. Default: 30s.
    #[serde(default = "startup_max_delay")]
    pub startup_max_delay: Duration<0, 600_000>,

    /// Action on foreign VIPs: VIPs in VPP that no Frontend claims and that the agent did not add.
    ///
    /// * Keep (the default): foreign VIPs are reported and left alone.
    /// * Remove: foreign VIPs are removed, except NAT VIPs: removing them can abort VPP.
    #[serde(default, rename = "foreignVIPs")]
    pub foreign_vips: ForeignVips,

    /// Time to hold back a mass removal, in case it is a mistake: 0s (no hold) to 24h. Default: 5m. A
    /// mass removal takes at least 5 and more than half of the VIPs (or application servers)
    /// of the agent out of VPP within 60s.
    #[serde(default = "mass_removal_hold")]
    pub mass_removal_hold: Duration<0, 86_400_000>,
}

fn interval() -> Duration<1000, 3_600_000> {
    const { Duration::literal(30_000) }
}

fn startup_min_delay() -> Duration<0, 600_000> {
    const { Duration::literal(5000) }
}

fn startup_max_delay() -> Duration<0, 600_000> {
    const { Duration::literal(30_000) }
}

fn mass_removal_hold() -> Duration<0, 86_400_000> {
    const { Duration::literal(300_000) }
}

impl Default for Sync {
    fn default() -> Self {
        Self {
            interval: interval(),
            startup_min_delay: startup_min_delay(),
            startup_max_delay: startup_max_delay(),
            foreign_vips: ForeignVips::default(),
            mass_removal_hold: mass_removal_hold(),
        }
    }
}

/// Action on VIPs that no Frontend claims and that the agent did not add.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ForeignVips {
    /// Foreign VIPs are reported and left alone.
    #[default]
    Keep,
    /// Foreign VIPs are removed.
    Remove,
}

impl From<ForeignVips> for model::config::ForeignVips {
    fn from(action: ForeignVips) -> Self {
        match action {
            ForeignVips::Keep => Self::Keep,
            ForeignVips::Remove => Self::Remove,
        }
    }
}

/// Settings of the probes of backends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// Source address of probes of IPv4 backends. If absent, the kernel chooses the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4_source_address: Option<Ipv4Source>,

    /// Source address of probes of IPv6 backends. If absent, the kernel chooses the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6_source_address: Option<Ipv6Source>,

    /// Number of state changes of each backend that the agent keeps for display: 1 to 100. Default: 5.
    #[serde(default = "transition_history")]
    pub transition_history: Int<1, 100>,

    /// True (the default) to leave traffic unchanged while all probes of a node fail at once, which
    /// points to a fault on the path of the probes rather than of the backends. Set it to false to
    /// take backends out of service even then.
    #[serde(default = "fail_open")]
    pub fail_open: bool,
}

fn transition_history() -> Int<1, 100> {
    const { Int::literal(5) }
}

fn fail_open() -> bool {
    true
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            ipv4_source_address: None,
            ipv6_source_address: None,
            transition_history: transition_history(),
            fail_open: fail_open(),
        }
    }
}

/// Observed state of a LoadBalancerConfig, written by the controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = condition::pending(&["Accepted", "Ready"])))]
pub struct LoadBalancerConfigStatus {
    /// The metadata.generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Conditions of the LoadBalancerConfig.
    ///
    /// * Accepted: the spec is valid.
    /// * Ready: every selected node uses this LoadBalancerConfig.
    /// * Conflicted: a selected node uses an older LoadBalancerConfig. Present only while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::conditions")]
    pub conditions: Vec<Condition>,

    /// Number of nodes that use this LoadBalancerConfig.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub nodes: Option<i32>,
}

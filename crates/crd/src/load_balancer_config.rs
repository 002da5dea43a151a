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
    number::{Int, PowerOfTwo},
    text,
};
use maglev_model as model;

/// Settings of the load-balancer nodes that it selects.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "maglev.vpp.io",
    version = "v1alpha1",
    kind = "LoadBalancerConfig",
    shortname = "mlbc",
    category = "maglev",
    status = "LoadBalancerConfigStatus",
    derive = "PartialEq",
    doc = "Settings of load-balancer nodes: VPP's own, how the agent keeps VPP in sync, how it probes. A node uses exactly one: of those whose nodeSelector matches its labels, the oldest. Without any, the defaults hold.",
    printcolumn(name = "Nodes", type_ = "integer", json_path = ".status.nodes", description = "Nodes that use it."),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancerConfigSpec {
    /// The labels that a node must have, all of them. If absent, every node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        extend("maxProperties" = 16),
        extend("additionalProperties" = text::label_value())
    )]
    #[x_kube(validation = Rule::new("self.all(key, key.matches(r'^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$'))")
        .message("must have names of labels as keys, such as kubernetes.io/arch"))]
    pub node_selector: Option<BTreeMap<String, String>>,

    /// Global settings of VPP's load balancer. What is absent stays as VPP has it.
    #[serde(default)]
    pub vpp: Vpp,

    /// How the agent keeps VPP in sync.
    #[serde(default)]
    pub sync: Sync,

    /// How the agent probes.
    #[serde(default)]
    pub probe: Probe,
}

/// Global settings of VPP's load balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Vpp {
    /// The address that tunnels to IPv4 backends start from. If absent, what VPP has; if VPP has
    /// none, the node's InternalIP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4_source_address: Option<Ipv4Source>,

    /// The address that tunnels to IPv6 backends start from. If absent, what VPP has; if VPP has
    /// none, the node's InternalIP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6_source_address: Option<Ipv6Source>,

    /// Buckets of the table of known flows, of each worker: a power of two. Changing it forgets all
    /// known flows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky_buckets_per_core: Option<PowerOfTwo<0, 24>>,

    /// A flow that was idle for so long is forgotten: whole seconds, 1s to 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_timeout: Option<Duration<1000, 86_400_000, 1000>>,
}

/// How the agent keeps VPP in sync.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("![self.startupMinDelay, self.startupMaxDelay].all(text, text.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')) || duration(self.startupMinDelay) <= duration(self.startupMaxDelay)")
        .message("startupMinDelay (5s if absent) must not be longer than startupMaxDelay (30s if absent)").field_path(".startupMinDelay")
)]
pub struct Sync {
    /// From one comparison of everything in VPP with what it should be to the next: 1s to 1h. If
    /// absent, 30s.
    #[serde(default = "interval")]
    pub interval: Duration<1000, 3_600_000>,

    /// After a start of the agent, VPP is left alone for so long: 0s to 10m. If absent, 5s.
    #[serde(default = "startup_min_delay")]
    pub startup_min_delay: Duration<0, 600_000>,

    /// After a start of the agent, first results of probes are waited for so long: 0s to 10m. If absent,
    /// 30s.
    #[serde(default = "startup_max_delay")]
    pub startup_max_delay: Duration<0, 600_000>,

    /// What happens to VIPs in VPP that no Frontend claims and that the agent did not make.
    ///
    /// * Keep (the default): they are reported and left alone.
    /// * Remove: they are removed.
    #[serde(default, rename = "foreignVIPs")]
    pub foreign_vips: ForeignVips,

    /// A removal of more than half of what there is waits for so long, in case it is a mistake: 0s
    /// (no hold) to 24h. If absent, 5m.
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

/// What happens to VIPs that no Frontend claims and that the agent did not make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ForeignVips {
    /// They stay.
    #[default]
    Keep,
    /// They go.
    Remove,
}

impl From<ForeignVips> for model::config::ForeignVips {
    fn from(what: ForeignVips) -> Self {
        match what {
            ForeignVips::Keep => Self::Keep,
            ForeignVips::Remove => Self::Remove,
        }
    }
}

/// How the agent probes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// The address that probes of IPv4 backends come from. If absent, what the kernel chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4_source_address: Option<Ipv4Source>,

    /// The address that probes of IPv6 backends come from. If absent, what the kernel chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6_source_address: Option<Ipv6Source>,

    /// The last so many changes of state of each backend are kept, to be asked for: 1 to 100. If
    /// absent, 5.
    #[serde(default = "transition_history")]
    pub transition_history: Int<1, 100>,

    /// While every probe of a node fails at once, the probes themselves are suspected and traffic
    /// is left as it is (true, the default). Set it to false to take backends out even then.
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

/// What the controller found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = condition::pending(&["Accepted", "Ready"])))]
pub struct LoadBalancerConfigStatus {
    /// The metadata.generation that this status was decided for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Accepted: the spec makes sense. Ready: every node it selects uses it. Only when true:
    /// Conflicted, for a node it selects uses an older one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::conditions")]
    pub conditions: Vec<Condition>,

    /// Nodes that use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub nodes: Option<i32>,
}

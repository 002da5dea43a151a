//! Frontend: a virtual IP and who serves it.

#![expect(clippy::duplicated_attributes, reason = "every printer column has a type")]
#![expect(unreachable_pub, reason = "KubeSchema copies each struct, with its visibility, into a function")]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    address::Address,
    condition::{self, Condition},
    number::{Dscp, Port, TableLength, Weight},
    text,
};
use maglev_model as model;

/// A virtual IP address, the traffic to it, and the backends that serve it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "maglev.vpp.io",
    version = "v1alpha1",
    kind = "Frontend",
    namespaced,
    shortname = "mfe",
    category = "maglev",
    status = "FrontendStatus",
    derive = "PartialEq",
    doc = "A virtual IP address (VIP) whose traffic every load-balancer node spreads over backends with a Maglev table. A Frontend is its claim on address, protocol and port: these cannot be changed. The first pool that has a backend to take traffic serves it; the others stand by.",
    printcolumn(
        name = "VIP",
        type_ = "string",
        json_path = ".spec.address",
        description = "The address that clients use."
    ),
    printcolumn(
        name = "Proto",
        type_ = "string",
        json_path = ".spec.protocol",
        description = "TCP or UDP; empty is every protocol."
    ),
    printcolumn(
        name = "Port",
        type_ = "integer",
        json_path = ".spec.port",
        description = "The port; empty is every port."
    ),
    printcolumn(
        name = "Backends",
        type_ = "string",
        json_path = ".status.backendsSummary",
        description = "Backends up, of all."
    ),
    printcolumn(
        name = "Nodes",
        type_ = "string",
        json_path = ".status.nodesSummary",
        description = "Nodes that have it programmed, of all."
    ),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Programmed\")].status",
        description = "Whether every node has it as it stands here."
    ),
    printcolumn(
        name = "Available",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Available\")].status",
        description = "Whether every node has a backend to send traffic to."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Encap",
        type_ = "string",
        json_path = ".spec.encap.type",
        priority = 1,
        description = "How packets reach the backends."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1,
        description = "Why it is ready or not."
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.protocol) == has(self.port)")
        .message("protocol and port go together: set both, or neither for all traffic to the address").field_path(".port"),
    validation = Rule::new("has(self.protocol) == has(oldSelf.protocol) && (!has(self.protocol) || self.protocol == oldSelf.protocol)")
        .message("protocol cannot be changed, added or removed: a Frontend is its claim on address, protocol and port; create another one").field_path(".protocol"),
    validation = Rule::new("has(self.port) == has(oldSelf.port) && (!has(self.port) || self.port == oldSelf.port)")
        .message("port cannot be changed, added or removed: a Frontend is its claim on address, protocol and port; create another one").field_path(".port"),
    validation = Rule::new("self.encap.type != 'NAT' || has(self.port)")
        .message("encap type NAT needs protocol and port: only one port can be translated").reason(Reason::FieldValueRequired).field_path(".port"),
    validation = Rule::new("self.encap.type != 'L3DSR' || !isIP(self.address) || ip(self.address).family() == 4")
        .message("encap type L3DSR needs an IPv4 address").field_path(".encap")
)]
pub struct FrontendSpec {
    /// The virtual IP address that clients use, such as 203.0.113.10 or 2001:db8::10. It cannot be
    /// changed.
    ///
    /// Not unspecified, multicast, broadcast, link-local, IPv4-mapped or in ::/96; loopback addresses
    /// are for sandboxes only. The namespace of the oldest Frontend on an address owns that address.
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("address cannot be changed: a Frontend is its claim on address, protocol and port; create another one"))]
    pub address: Address,

    /// TCP or UDP, together with port. If both are absent, all traffic to the address is taken,
    /// and no other Frontend can be on it. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Protocol")]
    pub protocol: Option<Protocol>,

    /// The port that clients use, together with protocol. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,

    /// What this is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,

    /// How packets reach the backends. If absent, in a GRE tunnel. Frontends on the same address
    /// need the same encap. Changing it cuts all flows.
    #[serde(default)]
    pub encap: Encap,

    /// Whether flows stick to the client's address.
    ///
    /// * None (the default): each connection finds its backend by itself.
    /// * ClientIP: all connections of one client go to the same backend.
    ///
    /// Changing it cuts all flows.
    #[serde(default)]
    pub session_affinity: SessionAffinity,

    /// What happens to flows of a backend that goes down.
    ///
    /// * Flush (the default): they move to another backend.
    /// * Keep: they stay, in the hope that it comes back.
    #[serde(default)]
    pub on_backend_down: OnBackendDown,

    /// The number of buckets of the Maglev table that new flows are spread by: a power of two from
    /// 256 to 32768. If absent, 8192. A larger table spreads more evenly and takes longer to change;
    /// the weights of a pool should sum up to at most a sixteenth of it. Changing it cuts all flows.
    #[serde(default = "table_length")]
    pub table_length: TableLength,

    /// Groups of backends in order of priority, at least one and at most 8. The first one with a backend that is up and has a
    /// weight above 0 takes all traffic; the others stand by.
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub pools: Vec<Pool>,
}

fn table_length() -> TableLength {
    const { TableLength::literal(8192) }
}

/// A protocol that a Frontend can be limited to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// IP protocol 6.
    Tcp,
    /// IP protocol 17.
    Udp,
}

impl From<Protocol> for model::vip::Protocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Self::Tcp,
            Protocol::Udp => Self::Udp,
        }
    }
}

/// How packets reach the backends.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.type != 'L3DSR' || has(self.l3dsr)")
        .message("l3dsr.dscp is required for encap type L3DSR").reason(Reason::FieldValueRequired).field_path(".l3dsr"),
    validation = Rule::new("self.type == 'L3DSR' || !has(self.l3dsr)")
        .message("l3dsr is only for encap type L3DSR").reason(Reason::FieldValueForbidden).field_path(".l3dsr"),
    validation = Rule::new("self.type != 'NAT' || has(self.nat)")
        .message("nat.targetPort is required for encap type NAT").reason(Reason::FieldValueRequired).field_path(".nat"),
    validation = Rule::new("self.type == 'NAT' || !has(self.nat)")
        .message("nat is only for encap type NAT").reason(Reason::FieldValueForbidden).field_path(".nat")
)]
pub struct Encap {
    /// The way.
    ///
    /// * GRE (the default): in a GRE tunnel, over IPv4 or IPv6 as the backends' addresses say. Answers go straight
    ///   to the client.
    /// * L3DSR: unchanged but for the destination and the DSCP bits, by which the backend knows the
    ///   VIP. Answers go straight to the client. IPv4 only.
    /// * NAT: with address and port translated. Answers come back through the load balancer.
    #[serde(rename = "type", default)]
    pub encap_type: EncapType,

    /// The DSCP code point. Required for type L3DSR, and only for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l3dsr: Option<L3dsr>,

    /// The port on the backends. Required for type NAT, and only for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nat: Option<Nat>,
}

/// The way to the backends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum EncapType {
    /// A GRE tunnel.
    #[default]
    Gre,
    /// Layer 3 direct server return.
    L3dsr,
    /// Address translation.
    Nat,
}

/// What L3DSR needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct L3dsr {
    /// The DSCP code point by which the backends know this VIP: 0 to 63.
    pub dscp: Dscp,
}

/// What NAT needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Nat {
    /// The port on the backends: 1 to 65535.
    pub target_port: Port,
}

/// Whether flows stick to the client's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SessionAffinity {
    /// No.
    #[default]
    None,
    /// Yes.
    ClientIP,
}

/// What happens to flows of a backend that goes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OnBackendDown {
    /// They move.
    #[default]
    Flush,
    /// They stay.
    Keep,
}

impl From<OnBackendDown> for model::config::OnBackendDown {
    fn from(what: OnBackendDown) -> Self {
        match what {
            OnBackendDown::Flush => Self::Flush,
            OnBackendDown::Keep => Self::Keep,
        }
    }
}

/// A group of backends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    /// Its name, once in the Frontend, such as primary.
    #[schemars(schema_with = "text::label")]
    pub name: String,

    /// Its backends, each once; at most 256. A backend may be in several pools.
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub backends: Vec<PoolBackend>,
}

/// A backend in a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolBackend {
    /// The name of a Backend of this namespace.
    #[schemars(schema_with = "text::object_name")]
    pub name: String,

    /// Its share of new flows relative to the others of the pool: 0 (none) to 100. If absent, 10.
    ///
    /// There is no default in the schema, so a manifest that leaves it out does not own it, and no
    /// GitOps tool undoes what was changed by hand at night.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Weight>,
}

/// What the controller found, over all nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = condition::pending(&["Accepted", "ResolvedRefs", "Programmed", "Available", "Ready"])))]
pub struct FrontendStatus {
    /// The metadata.generation that this status was decided for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Accepted: the spec makes sense. ResolvedRefs: every backend was found. Programmed: VPP has
    /// it on every node. Available: every node has a backend to send traffic to. Ready: all of
    /// these but Available, and no Conflicted. Only when true: Conflicted, Degraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::conditions")]
    pub conditions: Vec<Condition>,

    /// The pool that takes the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_pool: Option<String>,

    /// Backends that are up on every reporting node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub backends_up: Option<i32>,

    /// Backends in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub backends_total: Option<i32>,

    /// Both, such as 3/4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backends_summary: Option<String>,

    /// Nodes that have it programmed as it stands here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub nodes_programmed: Option<i32>,

    /// Nodes that should have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub nodes_desired: Option<i32>,

    /// Both, such as 10/10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_summary: Option<String>,
}

//! Frontend: a virtual IP and the pools of backends that serve it.

#![expect(clippy::duplicated_attributes, reason = "every printer column has a type")]
#![expect(unreachable_pub, reason = "KubeSchema copies each struct, with its visibility, into a function")]

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    address::Address,
    condition::{self, Condition},
    disruption::Disruption,
    number::{Dscp, Port, TableLength},
    path_probe::PathProbe,
    pool::Pool,
    ramp_up::RampUp,
};
use maglev_model as model;

/// Desired state of a Frontend: the virtual IP address, the traffic that it receives, and the backends that serve it.
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
    doc = "A virtual IP address (VIP) whose traffic every load-balancer node spreads over backends with a Maglev table. address, protocol and port identify a Frontend and cannot be changed. The first pool with a backend that can take traffic is active; the other pools stand by.",
    printcolumn(
        name = "VIP",
        type_ = "string",
        json_path = ".spec.address",
        description = "Virtual IP address that clients connect to."
    ),
    printcolumn(
        name = "Proto",
        type_ = "string",
        json_path = ".spec.protocol",
        description = "TCP or UDP; empty for all protocols."
    ),
    printcolumn(
        name = "Port",
        type_ = "integer",
        json_path = ".spec.port",
        description = "Port that clients connect to; empty for all ports."
    ),
    printcolumn(
        name = "Backends",
        type_ = "string",
        json_path = ".status.backendsSummary",
        description = "Backends that are up / all backends."
    ),
    printcolumn(
        name = "Nodes",
        type_ = "string",
        json_path = ".status.nodesSummary",
        description = "Nodes that have the Frontend programmed / all load-balancer nodes."
    ),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Programmed\")].status",
        description = "True if VPP on every node matches the spec."
    ),
    printcolumn(
        name = "Available",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Available\")].status",
        description = "True if every node has a backend to send traffic to."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Encap",
        type_ = "string",
        json_path = ".spec.encap.type",
        priority = 1,
        description = "Encapsulation of packets to the backends."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1,
        description = "Reason of the condition Ready."
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.protocol) == has(self.port)")
        .message("protocol and port go together: set both, or neither for all traffic to the address").field_path(".port"),
    validation = Rule::new("has(self.protocol) == has(oldSelf.protocol) && (!has(self.protocol) || self.protocol == oldSelf.protocol)")
        .message("protocol cannot be changed, added or removed: address, protocol and port identify a Frontend; create another one").field_path(".protocol"),
    validation = Rule::new("has(self.port) == has(oldSelf.port) && (!has(self.port) || self.port == oldSelf.port)")
        .message("port cannot be changed, added or removed: address, protocol and port identify a Frontend; create another one").field_path(".port"),
    validation = Rule::new("self.encap.type != 'L3DSR' || !isIP(self.address) || ip(self.address).family() == 4")
        .message("encap type L3DSR needs an IPv4 address").field_path(".encap"),
    validation = Rule::new("!has(self.pathProbe) || self.pathProbe.mode == 'Off' || (has(self.protocol) && self.protocol == 'TCP' && self.encap.type == 'GRE')")
        .message("the path can be probed only with protocol TCP and encap type GRE; remove pathProbe, or set its mode to Off").field_path(".pathProbe.mode")
)]
pub struct FrontendSpec {
    /// Virtual IP address that clients connect to, in canonical spelling, such as 203.0.113.10 or
    /// 2001:db8::10. Required. Cannot be changed.
    ///
    /// Must not be unspecified, multicast, broadcast, link-local, IPv4-mapped or in ::/96. Loopback
    /// addresses are for sandboxes only. AddressPolicies may restrict the addresses of a namespace. The
    /// namespace of the oldest Frontend that is allowed on an address owns the address: Frontends of
    /// other namespaces on it wait.
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("address cannot be changed: address, protocol and port identify a Frontend; create another one"))]
    pub address: Address,

    /// Protocol of the traffic: TCP or UDP. Set it together with port. If both are absent, the
    /// Frontend receives all traffic to the address, and no other Frontend can use the address.
    /// Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Protocol")]
    pub protocol: Option<Protocol>,

    /// Port that clients connect to: 1 to 65535. Set it together with protocol. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,

    /// Free-text description for operators, at most 1024 characters. No effect on traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,

    /// Encapsulation of packets to the backends. Default: GRE. All Frontends on the same address
    /// need the same encap. Changing it recreates the VIP, which cuts all flows.
    #[serde(default)]
    pub encap: Encap,

    /// Session affinity.
    ///
    /// * None (the default): the backend is chosen separately for each connection.
    /// * ClientIP: all connections from one client address go to the same backend.
    ///
    /// Changing it recreates the VIP, which cuts all flows.
    #[serde(default)]
    pub session_affinity: SessionAffinity,

    /// Action on the existing flows of a backend that goes down.
    ///
    /// * Flush (the default): the flows move to other backends.
    /// * Keep: the flows stay with the backend and continue if it recovers.
    #[serde(default)]
    pub on_backend_down: OnBackendDown,

    /// Number of buckets of the Maglev table that assigns new flows to backends: a power of two from
    /// 256 to 32768. Default: 8192. A larger table spreads flows more evenly and takes longer to
    /// update. The sum of the weights of a pool should be at most a sixteenth of the table length.
    /// Changing it recreates the VIP, which cuts all flows.
    #[serde(default = "table_length")]
    pub table_length: TableLength,

    /// Probe of the path that packets take to each backend and of its direct response: the tunnel ends
    /// at the backend, the VIP is on its loopback interface, a server listens on the VIP, and large
    /// packets arrive. If absent, the path is probed in mode Report with protocol TCP and encap type
    /// GRE, and not at all otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_probe: Option<PathProbe>,

    /// Limit on the share of new flows that changes of the configuration move. If absent, every change takes
    /// effect at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disruption: Option<Disruption>,

    /// Ramp of backends: one that comes up, or is added, while other backends serve gets its weight in steps.
    /// If absent, it gets its weight at once.
    ///
    /// Not ramped are a backend without others that serve, all backends when another pool takes the traffic,
    /// and a changed weight of a backend that serves. A backend that goes down loses its weight at once. VPP
    /// releases up to 26.06 have no weights, and therefore no ramps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp_up: Option<RampUp>,

    /// Pools of backends in order of priority: 1 to 8. The first pool with a backend that is up and
    /// has a weight above 0 takes all traffic; the other pools stand by.
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub pools: Vec<Pool>,
}

fn table_length() -> TableLength {
    const { TableLength::literal(8192) }
}

/// The protocol of a Frontend.
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

/// Encapsulation of packets to the backends.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = add_nat)]
#[x_kube(
    validation = Rule::new("self.type != 'L3DSR' || has(self.l3dsr)")
        .message("l3dsr.dscp is required for encap type L3DSR").reason(Reason::FieldValueRequired).field_path(".l3dsr"),
    validation = Rule::new("self.type == 'L3DSR' || !has(self.l3dsr)")
        .message("l3dsr is only for encap type L3DSR").reason(Reason::FieldValueForbidden).field_path(".l3dsr"),
    validation = Rule::new("self.type in ['GRE', 'L3DSR', 'NAT']")
        .message("type must be GRE or L3DSR").field_path(".type"),
    // An object that version 0.1.0 stored is let through: the API server applies the rules to writes of the status, too.
    validation = Rule::new("(self.type != 'NAT' && !has(self.nat)) || (oldSelf.hasValue() && oldSelf.value().type == 'NAT')")
        .optional_old_self(true)
        .message("encap type NAT is not supported: VPP drops the TCP packets of a NAT VIP, sends UDP packets with a wrong checksum, and can abort; use GRE or L3DSR")
        .field_path(".type")
)]
pub struct Encap {
    /// Type of encapsulation.
    ///
    /// * GRE (the default): packets travel in a GRE tunnel, over IPv4 or IPv6 according to the
    ///   addresses of the backends. Responses go directly to the client.
    /// * L3DSR: packets keep their contents except for the destination address and the DSCP bits,
    ///   which identify the VIP to the backend. Responses go directly to the client. IPv4 only.
    #[serde(rename = "type", default)]
    #[schemars(with = "String", length(max = 16))]
    pub encap_type: EncapType,

    /// Settings of type L3DSR. Required for type L3DSR, forbidden for other types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l3dsr: Option<L3dsr>,
}

/// Adds the field `nat` to the schema. Without the field, and with an enum as `type`, the API server would refuse a manifest
/// with NAT, which version 0.1.0 allowed, before it evaluates the rule with the reason. Stored objects keep the field.
fn add_nat(schema: &mut Schema) {
    let nat = json!({
        "type": "object",
        "description": "Not supported, as encap type NAT is not. Only objects that version 0.1.0 stored have this field.",
        "x-kubernetes-preserve-unknown-fields": true,
    });
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("nat".to_owned(), nat);
    }
}

/// The type of encapsulation (VPP `lb_encap_type`, without the family).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum EncapType {
    /// GRE tunnel.
    #[default]
    Gre,
    /// Layer 3 direct server return.
    L3dsr,
}

/// Settings of encap type L3DSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct L3dsr {
    /// DSCP code point that identifies this VIP to the backends: 0 to 63. Required.
    pub dscp: Dscp,
}

/// Session affinity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SessionAffinity {
    /// The backend is chosen separately for each connection.
    #[default]
    None,
    /// All connections from one client address go to the same backend.
    ClientIP,
}

/// Action on the existing flows of a backend that goes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OnBackendDown {
    /// The flows move to other backends.
    #[default]
    Flush,
    /// The flows stay with the backend.
    Keep,
}

impl From<OnBackendDown> for model::config::OnBackendDown {
    fn from(action: OnBackendDown) -> Self {
        match action {
            OnBackendDown::Flush => Self::Flush,
            OnBackendDown::Keep => Self::Keep,
        }
    }
}

/// Observed state of a Frontend over all nodes, written by the controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = condition::pending(&["Accepted", "ResolvedRefs", "Programmed", "Available", "Ready"])))]
pub struct FrontendStatus {
    /// The metadata.generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Conditions of the Frontend.
    ///
    /// * Accepted: the spec is valid.
    /// * ResolvedRefs: every backend that the pools name exists and is readable.
    /// * Programmed: VPP on every node matches the spec.
    /// * Available: every node has a backend to send traffic to.
    /// * Ready: Accepted, ResolvedRefs and Programmed are true and Conflicted is not.
    /// * PathReady: packets to the VIP reach the servers from every node, and the answers come back
    ///   directly. Present only if nodes probe the paths.
    /// * Conflicted, Degraded, PolicyViolation: present only while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::conditions")]
    pub conditions: Vec<Condition>,

    /// Name of the pool that takes traffic; absent if no pool does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_pool: Option<String>,

    /// Number of backends that are up on every reporting node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub backends_up: Option<i32>,

    /// Number of backends in all pools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub backends_total: Option<i32>,

    /// backendsUp and backendsTotal as one text, such as 3/4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backends_summary: Option<String>,

    /// Number of nodes whose VPP matches the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub nodes_programmed: Option<i32>,

    /// Number of nodes that should have the Frontend programmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub nodes_desired: Option<i32>,

    /// nodesProgrammed and nodesDesired as one text, such as 10/10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_summary: Option<String>,
}

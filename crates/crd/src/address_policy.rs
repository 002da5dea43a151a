//! AddressPolicy: the addresses, ports and probes that namespaces may use.

#![expect(clippy::duplicated_attributes, reason = "every printer column has a type")]
#![expect(unreachable_pub, reason = "KubeSchema copies each struct, with its visibility, into a function")]

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{
    condition::{self, Condition},
    frontend::{EncapType, Protocol},
    health_check::{CheckType, Interval},
    network::Network,
    number::{Int, Port},
    text,
};

/// Desired state of an AddressPolicy: namespaces, and what their Frontends, Backends and HealthChecks may use.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "maglev.vpp.io",
    version = "v1alpha1",
    kind = "AddressPolicy",
    shortname = "mpol",
    category = "maglev",
    status = "AddressPolicyStatus",
    derive = "PartialEq",
    doc = "Allows namespaces to use addresses, ports and probes. Without any AddressPolicy, every namespace may use every address. As soon as there is one, a namespace may use only what the AddressPolicies that select it allow: what they allow adds up, and a namespace that none selects may use nothing. A VIP that VPP has is never removed because of an AddressPolicy, unless onRevoke says so.",
    printcolumn(
        name = "Namespaces",
        type_ = "integer",
        json_path = ".status.namespaces",
        description = "Number of selected namespaces that have Frontends or Backends."
    ),
    printcolumn(
        name = "Frontends",
        type_ = "integer",
        json_path = ".status.frontends",
        description = "Number of Frontends that this AddressPolicy allows."
    ),
    printcolumn(
        name = "Backends",
        type_ = "integer",
        json_path = ".status.backends",
        description = "Number of Backends whose addresses this AddressPolicy allows."
    ),
    printcolumn(
        name = "Violations",
        type_ = "integer",
        json_path = ".status.violations",
        description = "Number of Frontends and Backends of the selected namespaces that are not allowed, or exceed a limit."
    ),
    printcolumn(
        name = "Mode",
        type_ = "string",
        json_path = ".spec.mode",
        priority = 1,
        description = "Enforce or Audit."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.probes) || has(self.backends)")
        .message("probes restricts the probes of backends, so it needs backends").field_path(".probes")
)]
pub struct AddressPolicySpec {
    /// Selected namespaces: by name or by label. If absent, all namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Namespaces>,

    /// Addresses, ports and encaps that Frontends of the selected namespaces may use. If absent, this AddressPolicy allows no Frontend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frontends: Option<FrontendGrant>,

    /// Addresses that Backends of the selected namespaces may have. If absent, this AddressPolicy allows no Backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backends: Option<BackendGrant>,

    /// Probes that HealthChecks may send to these backends. If absent, every probe.
    ///
    /// A Backend whose probe is not allowed is no longer probed and keeps its weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<ProbeGrant>,

    /// Limits of each selected namespace. If several AddressPolicies limit the same number, the largest limit applies; if
    /// none does, there is no limit. The oldest objects are within the limit; objects beyond it have the reason
    /// QuotaExceeded: they are not added, and stay in VPP as they are if VPP has them.
    #[serde(default)]
    pub limits: Limits,

    /// Effect on objects that are not allowed.
    ///
    /// * Enforce (the default): they do not take effect.
    /// * Audit: in the selected namespaces, they take effect, and the condition PolicyViolation reports them. One
    ///   AddressPolicy with Audit suffices for a namespace. If every AddressPolicy has Audit, namespaces that none selects
    ///   are only reported, too.
    #[serde(default)]
    pub mode: PolicyMode,

    /// Action on VIPs of the selected namespaces that are no longer allowed.
    ///
    /// * Hold (the default): the VIP stays in VPP as it is, and its weights follow health, until the Frontend is deleted.
    /// * Withdraw: the VIP is removed. Mass removals are held, see sync.massRemovalHold of LoadBalancerConfig.
    #[serde(default)]
    pub on_revoke: OnRevoke,
}

/// Namespaces, by name or by label.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.names) != has(self.selector)")
        .message("set either names or selector; for all namespaces, leave out namespaces")
)]
pub struct Namespaces {
    /// Names of the namespaces: 1 to 256. Excludes selector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "namespace_names")]
    pub names: Option<Vec<String>>,

    /// Labels of the namespaces. Excludes names. Whoever may label a namespace decides what it may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<NamespaceSelector>,
}

fn namespace_names(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 256,
        "x-kubernetes-list-type": "set",
        "items": text::label(generator),
    })
}

/// Labels of namespaces.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceSelector {
    /// Labels that a Namespace must have to be selected; all of them must match. 1 to 16.
    #[schemars(
        extend("maxProperties" = 16),
        extend("additionalProperties" = text::label_value())
    )]
    #[x_kube(validation = Rule::new(text::LABEL_KEYS)
        .message("must have label names as keys, such as kubernetes.io/metadata.name"))]
    #[x_kube(validation = Rule::new("self.size() > 0")
        .message("must have a label with a value; for all namespaces, leave out namespaces"))]
    pub match_labels: BTreeMap<String, String>,
}

/// Addresses, ports and encaps of Frontends. All fields apply together: the address, port and encap of a Frontend must all be allowed by the
/// same AddressPolicy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FrontendGrant {
    /// Networks of allowed VIPs: 1 to 64. Addresses of Nodes and of VPP, and those of neverAddresses of a
    /// LoadBalancerConfig, are never allowed.
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "set"))]
    pub addresses: Vec<Network>,

    /// Allowed protocols and ports: 1 to 32. If absent, all; only then is a Frontend for all ports of an address allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub ports: Option<Vec<FrontendPorts>>,

    /// Allowed types of encapsulation. If absent, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "set"))]
    pub encaps: Option<Vec<EncapType>>,

    /// Use of the addresses for Services of the class maglev.vpp.io/vpp.
    ///
    /// * OnRequest (the default): a Service gets an address of these networks only if it asks for that address.
    /// * Auto: a Service that asks for no address gets one of these networks. AddressPolicies are used in the order of
    ///   their names, their networks in the order of addresses. The first and the last address of an IPv4 network are
    ///   given only to a Service that asks for them.
    ///
    /// An address that a Service has stays with it, whatever changes here.
    #[serde(default)]
    pub assign: Assign,
}

/// Use of the addresses of an AddressPolicy for Services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Assign {
    /// A Service gets an address that it asks for.
    #[default]
    OnRequest,
    /// A Service that asks for no address gets one.
    Auto,
}

/// A range of ports of one protocol or of both.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.to) || self.from <= self.to").message("from must not be greater than to").field_path(".from")
)]
pub struct FrontendPorts {
    /// Protocol: TCP or UDP. If absent, both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Protocol")]
    pub protocol: Option<Protocol>,

    /// First port: 1 to 65535.
    pub from: Port,

    /// Last port: 1 to 65535. If absent, from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Port>,
}

/// Addresses that Backends may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendGrant {
    /// Networks of allowed addresses: 1 to 64.
    ///
    /// Some addresses are not allowed by a network that contains them, but only by an entry of exactly this address
    /// (/32 or /128): metadata services of clouds, link-local addresses, the addresses of the node that probes and those
    /// that VPP sends from, and NAT64 and 6to4 addresses with one of these inside. Loopback addresses, addresses of
    /// Frontends, and those of neverAddresses of a LoadBalancerConfig are never allowed.
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "set"))]
    pub addresses: Vec<Network>,

    /// Networks within addresses that are not allowed by this AddressPolicy: at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "set"))]
    pub except: Vec<Network>,
}

/// Probes that HealthChecks may send.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbeGrant {
    /// Allowed types of probes. If absent, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "set"))]
    pub types: Option<Vec<CheckType>>,

    /// Allowed ports of probes: 1 to 32. If absent, all. Type ICMP has no port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub ports: Option<Vec<PortRange>>,

    /// Shortest time between two probes that a HealthCheck may set, in interval, fastInterval or downInterval: 100ms to
    /// 1h. If absent, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_interval: Option<Interval>,

    /// Expectations of the body of a response that a HealthCheck may have. The result of each probe reveals something
    /// about the body to the author of the HealthCheck.
    ///
    /// * None: nothing.
    /// * Text: http.expectedText.
    /// * Regex (the default): http.expectedText or http.expectedBody.
    #[serde(default)]
    pub expected_body: BodyCheck,
}

/// A range of ports.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.to) || self.from <= self.to").message("from must not be greater than to").field_path(".from")
)]
pub struct PortRange {
    /// First port: 1 to 65535.
    pub from: Port,

    /// Last port: 1 to 65535. If absent, from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Port>,
}

/// Expectations of the body of a response that a HealthCheck may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum BodyCheck {
    /// Nothing.
    None,
    /// A text.
    Text,
    /// A text or a regular expression.
    #[default]
    Regex,
}

/// Limits of a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Number of Frontends: 0 to 1000000. Frontends that are not allowed do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frontends: Option<Int<0, 1_000_000>>,

    /// Number of Backends: 0 to 1000000. Backends that are not allowed do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backends: Option<Int<0, 1_000_000>>,

    /// Number of buckets of the tables (tableLength) of all Frontends: 0 to 1073741824.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_entries: Option<Int<0, 1_073_741_824>>,

    /// Number of probes per second that each node sends, at the shortest interval of each HealthCheck: 0 to 1000000.
    /// Backends beyond the limit are not probed and keep their weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes_per_second: Option<Int<0, 1_000_000>>,
}

/// The effect on objects that are not allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PolicyMode {
    /// They do not take effect.
    #[default]
    Enforce,
    /// They take effect and are reported.
    Audit,
}

/// The action on VIPs that are no longer allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OnRevoke {
    /// VPP is left as it is.
    #[default]
    Hold,
    /// The VIP is removed.
    Withdraw,
}

/// Observed state of an AddressPolicy, written by the controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = condition::pending(&["Accepted", "Ready"])))]
pub struct AddressPolicyStatus {
    /// The metadata.generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Conditions of the AddressPolicy.
    ///
    /// * Accepted: the spec is valid.
    /// * Ready: the AddressPolicy is in effect.
    /// * Violated: an object of the selected namespaces is not allowed, or exceeds a limit. Present only while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::conditions")]
    pub conditions: Vec<Condition>,

    /// Number of selected namespaces that have Frontends or Backends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub namespaces: Option<i32>,

    /// Number of Frontends that this AddressPolicy allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub frontends: Option<i32>,

    /// Number of Backends whose addresses this AddressPolicy allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub backends: Option<i32>,

    /// Number of Frontends and Backends of the selected namespaces that are not allowed, or exceed a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub violations: Option<i32>,

    /// Number of addresses of frontends.addresses that Frontends have, of any namespace. Present with assign Auto.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub allocated: Option<i32>,

    /// Number of addresses of frontends.addresses that are left for Services; 2147483647 also stands for more. Present
    /// with assign Auto.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub available: Option<i32>,
}

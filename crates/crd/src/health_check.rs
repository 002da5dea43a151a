//! HealthCheck: how backends are probed.

#![expect(clippy::duplicated_attributes, reason = "every printer column has a type")]
#![expect(unreachable_pub, reason = "KubeSchema copies each struct, with its visibility, into a function")]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    condition::{self, Condition},
    duration::Duration,
    number::{Count, Port},
    reference::{CaCertificateRef, LocalRef},
    status_range::StatusRange,
    text,
};
use maglev_model as model;

/// How often, how and on which port backends are probed.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "maglev.vpp.io",
    version = "v1alpha1",
    kind = "HealthCheck",
    namespaced,
    shortname = "mhc",
    category = "maglev",
    status = "HealthCheckStatus",
    derive = "PartialEq",
    doc = "How backends are probed. Backends of the same namespace name it in healthCheckRef; any number of them may share one. Every load-balancer node probes every backend by itself. Editing a HealthCheck restarts the probing and moves no traffic by itself.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type", description = "What is probed."),
    printcolumn(name = "Port", type_ = "integer", json_path = ".spec.port", description = "The port that is probed."),
    printcolumn(
        name = "Interval",
        type_ = "string",
        json_path = ".spec.interval",
        description = "From probe to probe while a backend is up."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.type == 'ICMP' || has(self.port)")
        .message("port is required, except for type ICMP").reason(Reason::FieldValueRequired).field_path(".port"),
    validation = Rule::new("self.type != 'ICMP' || !has(self.port)")
        .message("type ICMP has no port: remove it").reason(Reason::FieldValueForbidden).field_path(".port"),
    validation = Rule::new("!has(self.http) || self.type in ['HTTP', 'HTTPS']")
        .message("http is only for type HTTP or HTTPS").reason(Reason::FieldValueForbidden).field_path(".http"),
    validation = Rule::new("!has(self.tls) || self.type in ['HTTPS', 'TCP', 'GRPC']")
        .message("tls is only for type HTTPS, TCP or GRPC").reason(Reason::FieldValueForbidden).field_path(".tls"),
    validation = Rule::new("!has(self.grpc) || self.type == 'GRPC'")
        .message("grpc is only for type GRPC").reason(Reason::FieldValueForbidden).field_path(".grpc"),
    validation = Rule::new("!(self.type == 'HTTPS' || has(self.tls)) || (has(self.http) && has(self.http.host)) || (has(self.tls) && (has(self.tls.serverName) || self.tls.insecureSkipVerify))")
        .message("TLS needs the name that the certificate must have: set tls.serverName or http.host (or tls.insecureSkipVerify: true to accept any certificate)").reason(Reason::FieldValueRequired).field_path(".tls"),
    validation = Rule::new("![self.timeout, self.interval].all(text, text.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')) || duration(self.timeout) <= duration(self.interval)")
        .message("timeout (1s if absent) must not be longer than interval (2s if absent), since a probe never overlaps the next one").field_path(".timeout")
)]
pub struct HealthCheckSpec {
    /// What one probe does, and what has to follow.
    ///
    /// * ICMP: an echo request; a reply.
    /// * TCP: a connection to the port; with tls also a TLS handshake.
    /// * HTTP, HTTPS: a request; one of the expected statuses, and the expected body if one is
    ///   given.
    /// * GRPC: grpc.health.v1.Health/Check; the answer SERVING.
    #[serde(rename = "type")]
    pub check_type: CheckType,

    /// The port that is probed. Required, except for type ICMP, which has none. It need not be the
    /// port that traffic goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,

    /// From the start of one probe to the start of the next while the backend is up and its last
    /// probes succeeded: 100ms to 1h. If absent, 2s.
    #[serde(default = "interval")]
    pub interval: Interval,

    /// The same while the last probes failed (or succeeded) but not yet often enough to change the
    /// state: 100ms to 1h. A short one finds failures sooner. If absent, interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fast_interval: Option<Interval>,

    /// The same while the backend is down: 100ms to 1h. If absent, interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_interval: Option<Interval>,

    /// A probe that is not over after this time has failed: 10ms to 60s, and no longer than
    /// interval. If absent, 1s.
    #[serde(default = "timeout")]
    pub timeout: Timeout,

    /// So many probes in a row must succeed before a backend that was down is up: 1 to 100. If
    /// absent, 2.
    #[serde(default = "rise")]
    pub rise: Count,

    /// So many probes in a row must fail before a backend that was up is down: 1 to 100. If
    /// absent, 3.
    #[serde(default = "fall")]
    pub fall: Count,

    /// The request of type HTTP or HTTPS. If absent, GET / and any status from 200 to 399.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Http>,

    /// TLS of type HTTPS; for types TCP and GRPC, use TLS. The certificate must be valid for
    /// serverName (or http.host).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,

    /// The request of type GRPC. If absent, the health of the server as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<Grpc>,
}

/// Between two probes.
pub type Interval = Duration<100, 3_600_000>;
/// Of one probe.
pub type Timeout = Duration<10, 60_000>;

fn interval() -> Interval {
    const { Interval::literal(2000) }
}

fn timeout() -> Timeout {
    const { Timeout::literal(1000) }
}

fn rise() -> Count {
    const { Count::literal(2) }
}

fn fall() -> Count {
    const { Count::literal(3) }
}

/// What one probe does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum CheckType {
    /// An echo request.
    Icmp,
    /// A connection.
    Tcp,
    /// A request in plain text.
    Http,
    /// A request over TLS.
    Https,
    /// `grpc.health.v1.Health/Check`.
    Grpc,
}

impl CheckType {
    /// The word in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Icmp => "ICMP",
            Self::Tcp => "TCP",
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Grpc => "GRPC",
        }
    }
}

/// The request of an HTTP or HTTPS probe, and what is expected of the response.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.expectedBody) || self.method != 'HEAD'")
        .message("expectedBody needs method GET: a response to HEAD has no body").reason(Reason::FieldValueForbidden).field_path(".expectedBody")
)]
pub struct Http {
    /// The path, with a query if needed, such as /healthz?full=1. If absent, /.
    #[serde(default = "path")]
    #[schemars(schema_with = "text::path")]
    pub path: String,

    /// The Host header, and with HTTPS the name that the certificate must have unless
    /// tls.serverName says otherwise: a name or an IPv4 address, without port. If absent, the
    /// backend's address and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text::host")]
    pub host: Option<String>,

    /// GET (the default), or HEAD if the body is of no interest.
    #[serde(default)]
    pub method: HttpMethod,

    /// The statuses that count as success: each a status such as "200" or a range such as
    /// "200-399", which is the default. At most 16.
    #[serde(default = "expected_statuses")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub expected_statuses: Vec<StatusRange>,

    /// A regular expression (RE2 syntax) that must match somewhere in the first 64 KiB of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("''.matches(self) || !''.matches(self)").message("must be a regular expression (RE2 syntax)"))]
    pub expected_body: Option<String>,

    /// Further request headers, at most 16. Their values are never logged nor shown. Host, Content-Length,
    /// Transfer-Encoding, Connection and User-Agent cannot be set (for Host, see host).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub headers: Vec<Header>,
}

fn path() -> String {
    "/".into()
}

fn expected_statuses() -> Vec<StatusRange> {
    vec![StatusRange::DEFAULT]
}

impl Default for Http {
    fn default() -> Self {
        Self {
            path: path(),
            host: None,
            method: HttpMethod::default(),
            expected_statuses: expected_statuses(),
            expected_body: None,
            headers: Vec::new(),
        }
    }
}

/// An HTTP probe's method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// With a body in the response.
    #[default]
    Get,
    /// Without.
    Head,
}

impl From<HttpMethod> for model::config::HttpMethod {
    fn from(method: HttpMethod) -> Self {
        match method {
            HttpMethod::Get => Self::Get,
            HttpMethod::Head => Self::Head,
        }
    }
}

/// A request header.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// Its name, such as Authorization.
    #[schemars(schema_with = "text::header_name")]
    pub name: String,

    /// Its value: one line of printable characters.
    #[schemars(schema_with = "text::header_value")]
    pub value: String,
}

/// Without the value: it may be a secret.
impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Header").field("name", &self.name).finish_non_exhaustive()
    }
}

/// TLS of a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// The name that is sent (SNI) and that the certificate must be valid for. If absent,
    /// http.host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text::host")]
    pub server_name: Option<String>,

    /// Accept any certificate. The probe then tells that something answers, not who. If absent,
    /// false.
    #[serde(default)]
    pub insecure_skip_verify: bool,

    /// The ConfigMap or Secret of this namespace whose key ca.crt has the CA certificates to trust
    /// (PEM). If absent, the well-known public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_certificate_ref: Option<CaCertificateRef>,

    /// The Secret of this namespace (type kubernetes.io/tls) with the certificate that the probe
    /// presents. If absent, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<LocalRef>,
}

/// The request of a GRPC probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Grpc {
    /// The service to ask about, such as shop.v1.Cart. If absent, the server as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text::grpc_service")]
    pub service: Option<String>,
}

/// What the controller found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = condition::pending(&["Accepted", "Ready"])))]
pub struct HealthCheckStatus {
    /// The metadata.generation that this status was decided for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Accepted: the spec makes sense. Ready: it is in use as it stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::conditions")]
    pub conditions: Vec<Condition>,
}

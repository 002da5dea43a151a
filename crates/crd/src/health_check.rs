//! HealthCheck: type, schedule and expected results of the probes of backends.

#![expect(clippy::duplicated_attributes, reason = "every printer column has a type")]
#![expect(unreachable_pub, reason = "KubeSchema copies each struct, with its visibility, into a function")]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    condition::{self, Condition},
    duration::Duration,
    header::Header,
    number::{Count, Port},
    reference::{CaCertificateRef, LocalRef},
    status_range::StatusRange,
    text,
};
use maglev_model as model;

/// Desired state of a HealthCheck: type, port and schedule of the probes.
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
    doc = "Health check of backends. Backends of the same namespace refer to a HealthCheck in healthCheckRef; any number of Backends may share a HealthCheck. Each load-balancer node probes each backend independently. Editing a HealthCheck restarts the probes and does not move traffic by itself.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type", description = "Type of the probes."),
    printcolumn(name = "Port", type_ = "integer", json_path = ".spec.port", description = "Port that is probed."),
    printcolumn(
        name = "Interval",
        type_ = "string",
        json_path = ".spec.interval",
        description = "Time between the starts of two probes while a backend is up."
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
    validation = Rule::new("!(self.type == 'HTTPS' || has(self.tls)) || (has(self.http) && has(self.http.host)) || (has(self.tls) && (has(self.tls.serverName) || has(self.tls.caCertificateRef) || self.tls.insecureSkipVerify))")
        .message("TLS needs the name that the certificate must have: set tls.serverName or http.host (or tls.caCertificateRef for certificates of the backends' addresses, or tls.insecureSkipVerify: true to accept any certificate)").reason(Reason::FieldValueRequired).field_path(".tls"),
    validation = Rule::new("![self.timeout, self.interval].all(text, text.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')) || duration(self.timeout) <= duration(self.interval)")
        .message("timeout (1s if absent) must not be longer than interval (2s if absent), since a probe never overlaps the next one").field_path(".timeout")
)]
pub struct HealthCheckSpec {
    /// Type of the probes. Required.
    ///
    /// * ICMP: sends an echo request. Succeeds if the backend replies.
    /// * TCP: connects to the port. Succeeds if the connection, and with tls the TLS handshake, is
    ///   established.
    /// * HTTP, HTTPS: sends a request. Succeeds if the response has an expected status and, if
    ///   http.expectedText or http.expectedBody is set, an expected body.
    /// * GRPC: calls grpc.health.v1.Health/Check. Succeeds if the response is SERVING.
    #[serde(rename = "type")]
    pub check_type: CheckType,

    /// Port that is probed: 1 to 65535. Required, except for type ICMP, for which it is forbidden.
    /// May differ from the port that receives traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,

    /// Time between the starts of two probes while the backend is up and its recent probes succeeded:
    /// 100ms to 1h. Default: 2s.
    #[serde(default = "interval")]
    pub interval: Interval,

    /// Time between the starts of two probes while the state is unknown or may be about to change:
    /// recent probes contradict the state, but not yet often enough to change it. 100ms to 1h. A short
    /// time detects failures sooner. If absent, interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fast_interval: Option<Interval>,

    /// Time between the starts of two probes while the backend is down: 100ms to 1h. If absent,
    /// interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_interval: Option<Interval>,

    /// Time limit of one probe; a probe that takes longer has failed: 10ms to 60s, and not longer
    /// than interval. Default: 1s.
    #[serde(default = "timeout")]
    pub timeout: Timeout,

    /// Number of consecutive successful probes after which a backend that was down is up: 1 to 100.
    /// Default: 2.
    #[serde(default = "rise")]
    pub rise: Count,

    /// Number of consecutive failed probes after which a backend that was up is down: 1 to 100.
    /// Default: 3.
    #[serde(default = "fall")]
    pub fall: Count,

    /// Request and expected response of types HTTP and HTTPS. If absent, a GET request for / must
    /// return a status from 200 to 399. Forbidden for other types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Http>,

    /// TLS settings of type HTTPS. For types TCP and GRPC, the presence of this field enables TLS.
    /// Forbidden for other types. The certificate of the backend must be valid for serverName, by
    /// default http.host; with caCertificateRef and neither of them, for the address of the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,

    /// Request of type GRPC. If absent, the probe checks the health of the server as a whole.
    /// Forbidden for other types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<Grpc>,
}

/// Time between the starts of two probes: 100ms to 1h.
pub type Interval = Duration<100, 3_600_000>;
/// Time limit of one probe: 10ms to 60s.
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

/// The type of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum CheckType {
    /// ICMP echo request.
    Icmp,
    /// TCP connection, optionally with a TLS handshake.
    Tcp,
    /// HTTP request without TLS.
    Http,
    /// HTTP request over TLS.
    Https,
    /// Call of `grpc.health.v1.Health/Check`, optionally over TLS.
    Grpc,
}

impl CheckType {
    /// The spelling in manifests.
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

/// The request and the expected response of an HTTP or HTTPS probe.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.expectedText) || self.method != 'HEAD'")
        .message("expectedText needs method GET: a response to HEAD has no body").reason(Reason::FieldValueForbidden).field_path(".expectedText"),
    validation = Rule::new("!has(self.expectedBody) || self.method != 'HEAD'")
        .message("expectedBody needs method GET: a response to HEAD has no body").reason(Reason::FieldValueForbidden).field_path(".expectedBody"),
    validation = Rule::new("!has(self.expectedText) || !has(self.expectedBody)")
        .message("set either expectedText (plain text) or expectedBody (a regular expression)").reason(Reason::FieldValueForbidden).field_path(".expectedBody")
)]
pub struct Http {
    /// Path of the request, optionally with a query, such as /healthz?full=1: at most 1024
    /// characters. Default: /.
    #[serde(default = "path")]
    #[schemars(schema_with = "text::path")]
    pub path: String,

    /// Value of the Host header: a host name or an IP address, optionally with a port, such as
    /// www.example.com, www.example.com:8080 or [2001:db8::1]:8080. For type HTTPS also the name that
    /// the certificate must be valid for, without the port, unless tls.serverName is set. If absent,
    /// tls.serverName, or else the address of the backend, with the port unless it is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text::host")]
    pub host: Option<String>,

    /// Method of the request: GET (the default) or HEAD. The response to HEAD has no body.
    #[serde(default)]
    pub method: HttpMethod,

    /// Connections of the probes: New (the default) or Reuse.
    ///
    /// * New: each probe opens a connection, and thus shows that clients can connect.
    /// * Reuse: up to 10 probes in a row use one connection, which costs the node and the backend
    ///   less, above all over TLS. Only every 10th probe shows that clients can connect. The probe
    ///   after a failure opens a connection. A probe that fails on a connection of an earlier probe,
    ///   which the server may have just closed, is done again at once on a new connection, and only
    ///   that result counts; except for a timeout.
    #[serde(default)]
    pub connection: ConnectionMode,

    /// Statuses of the response that count as success: 1 to 16 entries, each a status such as "200"
    /// or a range such as "200-399" within 100-599. Default: "200-399".
    #[serde(default = "expected_statuses")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub expected_statuses: Vec<StatusRange>,

    /// Plain text that must occur anywhere in the first 64 KiB of the response body, such as
    /// {"status":"UP"}: at most 1024 characters. Needs method GET. Excludes expectedBody. If both are
    /// absent, the body is not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub expected_text: Option<String>,

    /// Regular expression that must match anywhere in the first 8 KiB of the response body: RE2
    /// syntax with the meaning of Go's package regexp, at most 1024 characters. \d, \w, \s and \b are
    /// ASCII; $ is the end of the body, so that such an expression waits for it. At most 8 repetition
    /// counts such as {2,30}, of at most 99, and not on a group; no Unicode classes such as \p{Greek}; at
    /// most 16 KiB when repetitions are expanded, otherwise the condition Accepted is False. Needs method GET. Excludes expectedText, which is simpler for plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text::body_pattern")]
    pub expected_body: Option<String>,

    /// Additional request headers: at most 16. Maglev neither logs nor displays their values. Host,
    /// Content-Length, Transfer-Encoding, Connection and User-Agent are not allowed (for Host, use
    /// host).
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
            connection: ConnectionMode::default(),
            expected_statuses: expected_statuses(),
            expected_text: None,
            expected_body: None,
            headers: Vec::new(),
        }
    }
}

/// The method of an HTTP probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// `GET`; the response has a body.
    #[default]
    Get,
    /// `HEAD`; the response has no body.
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

/// The connections of the probes of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConnectionMode {
    /// Each probe opens a connection.
    #[default]
    New,
    /// Up to 10 probes in a row use one connection.
    Reuse,
}

impl From<ConnectionMode> for model::config::ConnectionMode {
    fn from(mode: ConnectionMode) -> Self {
        match mode {
            ConnectionMode::New => Self::New,
            ConnectionMode::Reuse => Self::Reuse,
        }
    }
}

/// TLS settings of a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Name sent in the TLS handshake (SNI), which the certificate of the backend must be valid for: a
    /// host name or an IP address (which is not sent); a port is ignored. If absent, http.host; with
    /// caCertificateRef and without http.host, the address of the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text::host")]
    pub server_name: Option<String>,

    /// True to accept any certificate. The probe then shows that a server responds, but not that it
    /// is the right server. Default: false.
    #[serde(default)]
    pub insecure_skip_verify: bool,

    /// Reference to a ConfigMap or Secret in the namespace of the HealthCheck. Its key ca.crt holds
    /// the trusted CA certificates (PEM). If absent, the well-known public CAs are trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_certificate_ref: Option<CaCertificateRef>,

    /// Reference to a Secret (type kubernetes.io/tls) in the namespace of the HealthCheck with the
    /// client certificate of the probe. If absent, the probe presents no certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<LocalRef>,
}

/// The request of a gRPC probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Grpc {
    /// Full name of the service whose health is checked, such as shop.v1.Cart. If absent, the health
    /// of the server as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text::grpc_service")]
    pub service: Option<String>,

    /// Connections of the probes: New (the default) or Reuse, as in http.connection.
    #[serde(default)]
    pub connection: ConnectionMode,
}

/// Observed state of a HealthCheck, written by the controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = condition::pending(&["Accepted", "Ready"])))]
pub struct HealthCheckStatus {
    /// The metadata.generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Conditions of the HealthCheck.
    ///
    /// * Accepted: the spec is valid.
    /// * Ready: the agents use the spec as written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::conditions")]
    pub conditions: Vec<Condition>,
}

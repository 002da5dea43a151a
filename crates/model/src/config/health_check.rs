//! A resolved HealthCheck: the schedule and the type of probes.

use std::{fmt, num::NonZeroU16, sync::Arc, time::Duration};

use super::{
    Revision,
    certificate::{Authorities, ClientCertificate},
};
use crate::{body_pattern::BodyPattern, name::Name};

/// A resolved HealthCheck. Absent fields have their defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// `namespace/name`.
    pub name: Name,
    /// Identity and version of the object. Ignored by [`HealthCheck::same_probe`].
    pub revision: Revision,
    /// Time between the starts of two probes while the counter is at its maximum (see
    /// [`Machine`](crate::health::machine::Machine)), 100 ms to 1 h.
    pub interval: Duration,
    /// Time between the starts of two probes while the counter is neither at its maximum nor at 0, 100 ms to 1 h.
    pub fast_interval: Duration,
    /// Time between the starts of two probes while the counter is at 0, 100 ms to 1 h.
    pub down_interval: Duration,
    /// Time limit of one probe, 10 ms to 60 s.
    pub timeout: Duration,
    /// Consecutive successes that bring a backend up, 1–100.
    pub rise: u8,
    /// Consecutive failures that bring a backend down, 1–100.
    pub fall: u8,
    /// The type of the probes with its settings.
    pub probe: Probe,
}

impl HealthCheck {
    /// True if `other` leads to the same probes. Name and revision are ignored.
    pub fn same_probe(&self, other: &Self) -> bool {
        let Self { name: _, revision: _, interval, fast_interval, down_interval, timeout, rise, fall, probe } = self;
        (interval, fast_interval, down_interval, timeout, rise, fall, probe)
            == (
                &other.interval,
                &other.fast_interval,
                &other.down_interval,
                &other.timeout,
                &other.rise,
                &other.fall,
                &other.probe,
            )
    }
}

/// The type of a probe with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// An ICMP echo request.
    Icmp,
    /// A TCP connection, optionally with a TLS handshake.
    Tcp {
        /// The port to connect to.
        port: NonZeroU16,
        /// The TLS settings; `None` without TLS.
        tls: Option<Tls>,
    },
    /// An HTTP request.
    Http {
        /// The port to connect to.
        port: NonZeroU16,
        /// The request and the expected response.
        http: Http,
        /// The TLS settings; `Some` for HTTPS.
        tls: Option<Tls>,
    },
    /// A call of `grpc.health.v1.Health/Check`.
    Grpc {
        /// The port to connect to.
        port: NonZeroU16,
        /// The name of the checked service; empty for the server as a whole.
        service: String,
        /// The connections that the probes use.
        connection: ConnectionMode,
        /// The TLS settings; `None` without TLS.
        tls: Option<Tls>,
    },
}

impl Probe {
    /// The TLS settings; `None` without TLS.
    pub fn tls_mut(&mut self) -> Option<&mut Tls> {
        match self {
            Self::Icmp => None,
            Self::Tcp { tls, .. } | Self::Http { tls, .. } | Self::Grpc { tls, .. } => tls.as_mut(),
        }
    }

    /// The connections that the probes use; `None` for a type that has no choice.
    pub fn connection(&self) -> Option<ConnectionMode> {
        match self {
            Self::Icmp | Self::Tcp { .. } => None,
            Self::Http { http, .. } => Some(http.connection),
            Self::Grpc { connection, .. } => Some(*connection),
        }
    }

    /// The spelling of the type in manifests and metrics.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Icmp => "ICMP",
            Self::Tcp { .. } => "TCP",
            Self::Http { tls: None, .. } => "HTTP",
            Self::Http { tls: Some(_), .. } => "HTTPS",
            Self::Grpc { .. } => "GRPC",
        }
    }
}

/// The request and the expected response of an HTTP probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Path and query.
    pub path: String,
    /// Value of the `Host` header; `None` for the address and port of the backend.
    pub host: Option<String>,
    /// The method.
    pub method: HttpMethod,
    /// The connections that the probes use.
    pub connection: ConnectionMode,
    /// Statuses that count as success; never empty.
    pub expected_statuses: Vec<StatusRange>,
    /// Text that must occur anywhere in the first 64 KiB of the body. Excludes `expected_body`.
    pub expected_text: Option<String>,
    /// Regular expression that must match anywhere in the first 8 KiB of the body. Compiled by `index`, not by mirrors.
    pub expected_body: Option<BodyPattern>,
    /// Names and values of additional headers, in the order of the manifest. Mirrors have empty values.
    pub headers: Vec<(String, HeaderValue)>,
}

/// The value of a header, which may be a secret and is not printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeaderValue(Arc<str>);

impl HeaderValue {
    /// The value as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for HeaderValue {
    fn from(value: &str) -> Self {
        Self(value.into())
    }
}

impl fmt::Debug for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeaderValue")
    }
}

/// The method of an HTTP probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpMethod {
    /// `GET`.
    #[default]
    Get,
    /// `HEAD`.
    Head,
}

/// The connections that the probes of a backend use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionMode {
    /// Each probe opens a connection.
    #[default]
    New,
    /// Up to 10 probes in a row use one connection.
    Reuse,
}

impl ConnectionMode {
    /// The spelling in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "New",
            Self::Reuse => "Reuse",
        }
    }
}

/// An inclusive range of HTTP statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    /// The first status, 100–599.
    pub from: u16,
    /// The last status, 100–599.
    pub to: u16,
}

/// The TLS settings of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The name sent as SNI, which the certificate must be valid for.
    pub server_name: Option<String>,
    /// True to accept any certificate.
    pub insecure_skip_verify: bool,
    /// The trusted certificate authorities; `None` for the well-known public ones.
    pub authorities: Option<Authorities>,
    /// The client certificate, presented if the server requests one.
    pub client: Option<ClientCertificate>,
}

//! A HealthCheck, resolved: how often a backend is probed, and what one probe does.

use std::{num::NonZeroU16, time::Duration};

use super::{
    Revision,
    certificate::{Authorities, ClientCertificate},
};
use crate::name::Name;

/// A HealthCheck, resolved: absent fields have their defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// `namespace/name`.
    pub name: Name,
    /// The object it was resolved from. Not part of what a probe does: see [`HealthCheck::same_probe`].
    pub revision: Revision,
    /// From start to start of two probes while the counter is at the top.
    pub interval: Duration,
    /// The same while the counter is neither at the top nor at 0.
    pub fast_interval: Duration,
    /// The same while the counter is at 0.
    pub down_interval: Duration,
    /// For the whole of one probe.
    pub timeout: Duration,
    /// Successes in a row that bring a backend up, 1–100.
    pub rise: u8,
    /// Failures in a row that bring a backend down, 1–100.
    pub fall: u8,
    /// What one probe does.
    pub probe: Probe,
}

impl HealthCheck {
    /// Whether `other` leads to the same probing, whatever its object's generation.
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

/// What one probe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// An ICMP echo.
    Icmp,
    /// A TCP connection, optionally with a TLS handshake.
    Tcp {
        /// The port to connect to.
        port: NonZeroU16,
        /// TLS over it.
        tls: Option<Tls>,
    },
    /// An HTTP request, over TLS for HTTPS.
    Http {
        /// The port to connect to.
        port: NonZeroU16,
        /// The request and what is expected of the response.
        http: Http,
        /// `Some` for HTTPS.
        tls: Option<Tls>,
    },
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// The port to connect to.
        port: NonZeroU16,
        /// The service name asked for; empty for the server as a whole.
        service: String,
        /// TLS over it.
        tls: Option<Tls>,
    },
}

impl Probe {
    /// The TLS that it uses, if it does.
    pub fn tls_mut(&mut self) -> Option<&mut Tls> {
        match self {
            Self::Icmp => None,
            Self::Tcp { tls, .. } | Self::Http { tls, .. } | Self::Grpc { tls, .. } => tls.as_mut(),
        }
    }

    /// The type as manifests and metrics spell it.
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

/// An HTTP probe's request, and what is expected of the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Path and query.
    pub path: String,
    /// The `Host` header; `None` = the backend's address and port.
    pub host: Option<String>,
    /// The method.
    pub method: HttpMethod,
    /// Statuses that count as success; never empty.
    pub expected_statuses: Vec<StatusRange>,
    /// A regular expression that the first 64 KiB of the body must match. Known to compile.
    pub expected_body: Option<String>,
    /// Further headers, in the order of the manifest.
    pub headers: Vec<(String, String)>,
}

/// An HTTP probe's method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpMethod {
    /// `GET`.
    #[default]
    Get,
    /// `HEAD`.
    Head,
}

/// An inclusive range of HTTP statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    /// The first.
    pub from: u16,
    /// The last.
    pub to: u16,
}

/// TLS of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The name sent as SNI and looked for in the certificate.
    pub server_name: Option<String>,
    /// Accept any certificate.
    pub insecure_skip_verify: bool,
    /// Whom to trust; `None` = the well-known authorities.
    pub authorities: Option<Authorities>,
    /// What to present where the server asks for it.
    pub client: Option<ClientCertificate>,
}

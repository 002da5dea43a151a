//! The decision on one call: token, permission, and the enforcement.

use std::net::SocketAddr;

use maglev_net::LogThrottle;
use prometheus::{IntCounterVec, Opts, Registry};

use crate::{Access, AuthMode, Denial, Permission, Verifier};

/// Reasons of refusals, for the metric's series.
const REASONS: [&str; 13] = [
    "NoTLS",
    "NoToken",
    "NoKeys",
    "Malformed",
    "WrongAlgorithm",
    "UnknownKey",
    "WrongSignature",
    "WrongIssuer",
    "WrongAudience",
    "Expired",
    "NotYetValid",
    "NotViewer",
    "NotOperator",
];

/// Decides on the calls of one server.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    mode: AuthMode,
    check: Option<Check>,
}

#[derive(Clone, Debug)]
struct Check {
    verifier: Verifier,
    access: Access,
    metrics: GuardMetrics,
    throttle: std::sync::Arc<LogThrottle>,
}

/// The refusal of a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The connection is not encrypted, so no token is accepted on it.
    #[error(
        "this port has no TLS: use the port named grpc-tls, with a ServiceAccount token for the audience {}",
        crate::AUDIENCE
    )]
    NoTls,
    /// The call has no token.
    #[error(
        "the call has no token: send \"authorization: Bearer\" with a ServiceAccount token for the audience {}",
        crate::AUDIENCE
    )]
    NoToken,
    /// The token is not accepted.
    #[error(transparent)]
    Token(#[from] Denial),
    /// The subject of a valid token lacks the permission.
    #[error("{subject} may not make this call: it is not one of this agent's {role}")]
    Forbidden {
        /// The token's subject.
        subject: String,
        /// The subjects with the permission: `viewers` or `operators`.
        role: &'static str,
    },
}

impl Refusal {
    /// A fixed PascalCase word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoTls => "NoTLS",
            Self::NoToken => "NoToken",
            Self::Token(denial) => denial.reason(),
            Self::Forbidden { role: "viewers", .. } => "NotViewer",
            Self::Forbidden { .. } => "NotOperator",
        }
    }
}

/// Metrics of refusals. Clones share their series.
#[derive(Clone, Debug)]
pub struct GuardMetrics {
    server: &'static str,
    refused: IntCounterVec,
}

impl GuardMetrics {
    /// The metrics with the label `server`.
    pub fn new(server: &'static str) -> Self {
        let opts = Opts::new(
            "maglev_auth_refused_total",
            "Calls without a valid token or permission, by reason; with enforced=\"false\" they were answered.",
        );
        let refused = IntCounterVec::new(opts.const_label("server", server), &["reason", "enforced"])
            .expect("the name is a valid metric name");
        for reason in REASONS {
            refused.with_label_values(&[reason, "true"]);
            refused.with_label_values(&[reason, "false"]);
        }
        Self { server, refused }
    }

    /// Registers the metrics.
    ///
    /// # Errors
    /// If a server of this name is already registered.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.refused.clone()))
    }
}

/// The parts of a call that the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Call<'c> {
    /// True on a connection with TLS, or if the server never has any.
    pub is_encrypted: bool,
    /// The value of the header `authorization`.
    pub authorization: Option<&'c str>,
    /// The permission that the call requires.
    pub permission: Permission,
    /// The client's address, for the log.
    pub peer: Option<SocketAddr>,
}

impl Guard {
    /// Decides by the verifier's keys and `access`.
    pub fn new(mode: AuthMode, verifier: Verifier, access: Access, metrics: GuardMetrics) -> Self {
        Self { mode, check: Some(Check { verifier, access, metrics, throttle: std::sync::Arc::default() }) }
    }

    /// Decides on scrapes: `viewers` may read. Without viewers, everybody may. Registers the metrics in both cases.
    ///
    /// # Errors
    /// If the metrics are already registered.
    pub fn for_scrapes(viewers: &[String], verifier: Verifier, registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = GuardMetrics::new("metrics");
        metrics.register(registry)?;
        let mode = if viewers.is_empty() { AuthMode::Off } else { AuthMode::Required };
        Ok(Self::new(mode, verifier, Access::new(viewers.to_vec(), []), metrics))
    }

    /// Decides on a call.
    ///
    /// # Errors
    /// [`Refusal`], only if tokens are required.
    pub fn admit(&self, call: Call<'_>) -> Result<(), Refusal> {
        let Some(check) = self.check.as_ref().filter(|_| self.mode != AuthMode::Off) else { return Ok(()) };
        let Err(refusal) = check.decide(call) else { return Ok(()) };
        let enforced = self.mode == AuthMode::Required;
        check.report(&refusal, call.peer, enforced);
        if enforced { Err(refusal) } else { Ok(()) }
    }
}

impl Check {
    fn decide(&self, call: Call<'_>) -> Result<(), Refusal> {
        if !call.is_encrypted {
            return Err(Refusal::NoTls);
        }
        let token = call.authorization.and_then(bearer).ok_or(Refusal::NoToken)?;
        let claims = self.verifier.verify(token)?;
        if self.access.allows(&claims.sub, call.permission) {
            return Ok(());
        }
        let role = match call.permission {
            Permission::View => "viewers",
            Permission::Operate => "operators",
        };
        Err(Refusal::Forbidden { subject: claims.sub.clone(), role })
    }

    fn report(&self, refusal: &Refusal, peer: Option<SocketAddr>, enforced: bool) {
        let (reason, server) = (refusal.reason(), self.metrics.server);
        let label = if enforced { "true" } else { "false" };
        self.metrics.refused.with_label_values(&[reason, label]).inc();
        let Some(suppressed) = self.throttle.admit(reason) else { return };
        let peer = peer.map(tracing::field::display);
        if enforced {
            tracing::warn!(server, reason, peer, suppressed, error = %refusal, "call refused");
        } else {
            tracing::warn!(server, reason, peer, suppressed, error = %refusal, "call would be refused with auth required");
        }
    }
}

/// The token of a header `authorization`, whose scheme is case-insensitive.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

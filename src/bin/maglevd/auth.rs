//! Builds TLS and the check of tokens from the flags.

use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;
use maglev_auth::{
    AUDIENCE, Access, AuthMode, CertificateMetrics, Clock, Guard, GuardMetrics, ServerCertificate, Verifier,
};
use maglev_kube::TokenKeys;
use prometheus::Registry;

use crate::flags::Flags;

/// TLS and tokens of the agent's servers.
pub struct Auth {
    /// The decision on gRPC calls.
    pub grpc: Guard,
    /// The decision on scrapes.
    pub metrics: Guard,
    /// The certificate of gRPC; `None` without TLS.
    pub certificate: Option<ServerCertificate>,
    /// The loop that reads the keys of tokens; `None` if no token is checked.
    pub keys: Option<TokenKeys>,
}

/// Builds the parts without starting them.
pub fn auth(flags: &Flags, client: &Client, registry: &Registry) -> anyhow::Result<Auth> {
    let clock: Clock = Arc::new(Timestamp::now);
    let verifier = Verifier::new(AUDIENCE, Arc::clone(&clock));
    let flags = &flags.auth;
    let grpc_metrics = GuardMetrics::new("grpc");
    grpc_metrics.register(registry)?;
    let access = Access::new(flags.grpc_viewer.clone(), flags.grpc_operator.clone());
    let grpc = Guard::new(flags.grpc_auth, verifier.clone(), access, grpc_metrics);
    let metrics = Guard::for_scrapes(&flags.metrics_viewer, verifier.clone(), registry)?;
    let certificate = match &flags.grpc_tls_dir {
        Some(dir) => {
            let metrics = CertificateMetrics::new("grpc");
            metrics.register(registry)?;
            Some(ServerCertificate::new(dir, clock, metrics)?)
        }
        None => None,
    };
    let checks_tokens = flags.grpc_auth != AuthMode::Off || !flags.metrics_viewer.is_empty();
    let keys = checks_tokens.then(|| TokenKeys::new(client.clone(), verifier, flags.token_issuer.clone()));
    Ok(Auth { grpc, metrics, certificate, keys })
}

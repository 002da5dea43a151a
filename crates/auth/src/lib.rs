//! Tokens and certificates of the connections between the programs.
//!
//! ```text
//!  API server's keys (crate kube) ─▶ Verifier ◀── token ── server: rpc, telemetry
//!                                       └─ claims ─▶ Access: may this subject do this?
//!  Secret, mounted ─▶ ServerCertificate ─▶ TLS of the server ◀── ClientTls ◀── authorities, mounted
//!                                                            ◀── TokenSource ◀── token, mounted
//!  leading controller (crate kube) ─▶ rotation: next Action ─▶ issue: new certificates
//! ```
//!
//! Tokens are those of ServiceAccounts. They are verified offline, so that a node can be inspected while the API server
//! is away. Signatures are verified by `ring` alone: of JWT libraries, those without a second TLS provider bring an RSA
//! implementation with a known timing attack, and three fixed algorithms need no library. The type of a key determines
//! its algorithm, so a token cannot choose another one.
//!
//! Nothing here accesses the API server. Clocks are parameters.

#![warn(missing_docs)]

pub mod access;
pub mod issue;
pub mod rotation;

mod authority_metrics;
mod bearer;
mod certificate;
mod client_tls;
mod guard;
mod keys;
mod server_tls;
mod token;
mod verifier;

pub use self::{
    access::{Access, AuthMode, Permission},
    bearer::{SharedToken, TokenSource},
    certificate::{CertificateError, CertificateInfo},
    client_tls::{Authorities, ClientTls, TlsFailure},
    guard::{Call, Guard, GuardMetrics, Refusal},
    keys::{KeySet, KeysError},
    server_tls::{CertificateMetrics, ServerCertificate},
    token::Claims,
    verifier::{Clock, Denial, Verifier},
};

/// Audience of the tokens that agents accept. No other server accepts such a token.
pub const AUDIENCE: &str = "maglevd.maglev.vpp.io";

/// The name in the certificate of all agents in `namespace`. Addresses of nodes change, so clients check this name.
pub fn agent_name(namespace: &str) -> String {
    format!("maglevd.{namespace}.maglev.vpp.io")
}

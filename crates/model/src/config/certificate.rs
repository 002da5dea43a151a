//! Certificates that a probe over TLS uses, as they were read from Secrets and ConfigMaps: known to be
//! well-formed.

use std::{fmt, sync::Arc};

/// The authorities that a probe trusts. Never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorities {
    /// Certificates as DER (X.509).
    pub certificates: Arc<[Vec<u8>]>,
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities").field("certificates", &self.certificates.len()).finish()
    }
}

/// What a probe presents itself with: a certificate and the key that belongs to it.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, then those that lead to an authority; DER (X.509).
    pub chain: Arc<[Vec<u8>]>,
    /// The private key as DER (PKCS #8, PKCS #1 or SEC 1).
    pub key: Arc<[u8]>,
}

/// Without the key: it is a secret.
impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

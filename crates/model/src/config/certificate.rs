//! Certificates of TLS probes, read from Secrets and ConfigMaps. Checked to be well-formed.

use std::{fmt, sync::Arc};

/// The certificate authorities that a probe trusts. Never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorities {
    /// X.509 certificates (DER).
    pub certificates: Arc<[Vec<u8>]>,
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities").field("certificates", &self.certificates.len()).finish()
    }
}

/// The client certificate of a probe, with its private key.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, followed by its chain to a certificate authority: X.509 (DER).
    pub chain: Arc<[Vec<u8>]>,
    /// The private key: PKCS #8, PKCS #1 or SEC 1 (DER).
    pub key: Arc<[u8]>,
}

/// Omits the private key.
impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

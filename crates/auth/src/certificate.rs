//! Facts about X.509 certificates.

use jiff::Timestamp;
use rcgen::{KeyPair, PublicKeyData as _};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    parse_x509_certificate,
};

/// A certificate or key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    File {
        /// Path of the file.
        path: String,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// The text has no certificate in PEM.
    #[error("there is no certificate in PEM")]
    NoCertificate,
    /// The text has no private key in PEM.
    #[error("there is no private key in PEM")]
    NoKey,
    /// The certificate cannot be parsed.
    #[error("the certificate is malformed")]
    Malformed,
    /// Certificate and key do not belong together, or their kind is not supported.
    #[error("the certificate and its key cannot be used")]
    Unusable(#[source] rustls::Error),
    /// A certificate cannot be made.
    #[error("cannot make a certificate")]
    Issue(#[from] rcgen::Error),
}

/// Facts about one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// Begin of the validity.
    pub not_before: Timestamp,
    /// End of the validity.
    pub not_after: Timestamp,
    /// DNS names.
    pub names: Vec<String>,
    /// Identifier of the certificate's key; empty without the extension.
    pub key_id: Vec<u8>,
    /// Identifier of the key that signed the certificate; empty without the extension.
    pub authority_key_id: Vec<u8>,
}

impl CertificateInfo {
    /// Reads the first certificate in PEM.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificateError> {
        Self::from_der(&first_certificate(pem)?)
    }

    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`].
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let (_, certificate) = parse_x509_certificate(der).map_err(|_| CertificateError::Malformed)?;
        Self::from_parsed(&certificate).ok_or(CertificateError::Malformed)
    }

    fn from_parsed(certificate: &X509Certificate<'_>) -> Option<Self> {
        let mut info = Self {
            not_before: Timestamp::from_second(certificate.validity().not_before.timestamp()).ok()?,
            not_after: Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?,
            names: Vec::new(),
            key_id: Vec::new(),
            authority_key_id: Vec::new(),
        };
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => info.names = dns_names(&names.general_names),
                ParsedExtension::SubjectKeyIdentifier(id) => info.key_id = id.0.to_vec(),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    info.authority_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec()).unwrap_or_default();
                }
                _ => {}
            }
        }
        Some(info)
    }
}

fn dns_names(names: &[GeneralName<'_>]) -> Vec<String> {
    let dns_name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    };
    names.iter().filter_map(dns_name).collect()
}

pub(crate) fn first_certificate(pem: &[u8]) -> Result<CertificateDer<'static>, CertificateError> {
    CertificateDer::from_pem_slice(pem).map_err(|_| CertificateError::NoCertificate)
}

/// True if the first certificate in PEM is one of this key.
pub(crate) fn has_key(pem: &[u8], key: &KeyPair) -> bool {
    let Ok(der) = first_certificate(pem) else { return false };
    let Ok((_, certificate)) = parse_x509_certificate(&der) else { return false };
    certificate.public_key().raw == key.subject_public_key_info()
}

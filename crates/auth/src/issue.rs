//! Certificates of own making: an authority of agents, and the certificate that all agents share. P-256.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::OffsetDateTime;

use crate::{
    CertificateError, CertificateInfo,
    certificate::{first_certificate, has_key},
};

/// Validity of an authority.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_hours(24 * 3650);
/// Validity of an agent's certificate.
pub const LEAF_LIFETIME: Duration = Duration::from_hours(24 * 90);
/// Time by which certificates are valid before they are made, for clocks that are behind.
pub const BACKDATED: Duration = Duration::from_hours(1);

/// A certificate and its key.
#[derive(Clone)]
pub struct Issued {
    /// The certificate in PEM.
    pub certificate_pem: String,
    /// The private key in PEM (PKCS #8).
    pub key_pem: String,
}

/// An authority with its key.
pub struct Authority {
    certificate_pem: String,
    info: CertificateInfo,
    key_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a new authority.
    ///
    /// # Errors
    /// There are no random numbers.
    pub fn create(now: Timestamp) -> Result<Self, CertificateError> {
        let mut params = params(now, AUTHORITY_LIFETIME);
        // The time makes the names of successive authorities differ.
        params.distinguished_name = common_name(&format!("maglev agents, authority of {now:.0}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.self_signed(&key)?;
        Self::read(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())
    }

    /// Reads an authority.
    ///
    /// # Errors
    /// Certificate or key are malformed, or do not belong together.
    pub fn read(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Self, CertificateError> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let key_pem = text(key_pem);
        let key = KeyPair::from_pem(&key_pem).map_err(|_| CertificateError::NoKey)?;
        if !has_key(certificate_pem, &key) {
            return Err(CertificateError::Malformed);
        }
        let info = CertificateInfo::from_pem(certificate_pem)?;
        let issuer = Issuer::from_ca_cert_der(&first_certificate(certificate_pem)?, key)?;
        Ok(Self { certificate_pem: text(certificate_pem), info, key_pem, issuer })
    }

    /// Makes a server certificate for `name` with a new key.
    ///
    /// # Errors
    /// `name` is not a DNS name.
    pub fn issue(&self, name: &str, now: Timestamp) -> Result<Issued, CertificateError> {
        let mut params = named(name, now)?;
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// The certificate in PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key in PEM.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Facts about the certificate.
    pub fn info(&self) -> &CertificateInfo {
        &self.info
    }
}

/// A certificate that no authority has signed.
pub(crate) fn self_signed(name: &str, now: Timestamp) -> Result<Issued, CertificateError> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let certificate = named(name, now)?.self_signed(&key)?;
    Ok(Issued { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
}

fn named(name: &str, now: Timestamp) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    (params.not_before, params.not_after) = validity(now, LEAF_LIFETIME);
    params.distinguished_name = common_name("maglevd");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn params(now: Timestamp, lifetime: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = validity(now, lifetime);
    params
}

fn validity(now: Timestamp, lifetime: Duration) -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::from_unix_timestamp(now.as_second()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    (now - BACKDATED, now + lifetime)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

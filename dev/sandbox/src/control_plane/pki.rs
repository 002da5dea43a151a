//! The sandbox's certificate authority, for servers and clients. Created at each start and not trusted outside the
//! sandbox.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};

use super::SandboxError;

/// The subject of a certificate. Kubernetes uses the common name as user and the organization as group.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    pub common_name: String,
    /// The group.
    pub organization: Option<String>,
    /// Addresses and DNS names of a server; empty for a client.
    pub names: Vec<String>,
}

impl Subject {
    pub fn user(common_name: impl Into<String>) -> Self {
        Self { common_name: common_name.into(), ..Self::default() }
    }

    pub fn group(mut self, organization: impl Into<String>) -> Self {
        self.organization = Some(organization.into());
        self
    }

    /// Adds an address or DNS name of a server.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.names.push(name.into());
        self
    }

    fn params(&self) -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::new(self.names.clone())?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, self.common_name.as_str());
        if let Some(organization) = &self.organization {
            params.distinguished_name.push(DnType::OrganizationName, organization.as_str());
        }
        Ok(params)
    }
}

/// A certificate with its key, both in PEM.
#[derive(Clone)]
pub struct IssuedCertificate {
    pub certificate_pem: String,
    /// The private key (PKCS #8).
    pub key_pem: String,
}

impl std::fmt::Debug for IssuedCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedCertificate").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

pub struct Authority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// Creates the authority and writes `ca.crt` into `dir`; the key stays in memory.
    pub(crate) fn create(dir: &Path) -> Result<Self, SandboxError> {
        let named = |source| SandboxError::Certificate { name: "the sandbox's authority".into(), source };
        let (certificate, issuer) = self_signed().map_err(named)?;
        let certificate_pem = certificate.pem();
        write(&dir.join("ca.crt"), &certificate_pem)?;
        Ok(Self { certificate_pem, issuer })
    }

    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Issues a client and server certificate with a new key.
    ///
    /// # Errors
    /// A name is neither an address nor a DNS name.
    pub fn issue(&self, subject: &Subject) -> Result<IssuedCertificate, SandboxError> {
        let named = |source| SandboxError::Certificate { name: subject.common_name.clone(), source };
        let mut params = subject.params().map_err(named)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().map_err(named)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(named)?;
        Ok(IssuedCertificate { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// Issues a certificate and writes `<file>.crt` and `<file>.key` into `dir`.
    pub(crate) fn issue_files(
        &self,
        dir: &Path,
        file: &str,
        subject: &Subject,
    ) -> Result<IssuedCertificate, SandboxError> {
        let issued = self.issue(subject)?;
        write(&dir.join(format!("{file}.crt")), &issued.certificate_pem)?;
        write(&dir.join(format!("{file}.key")), &issued.key_pem)?;
        Ok(issued)
    }
}

fn self_signed() -> Result<(Certificate, Issuer<'static, KeyPair>), rcgen::Error> {
    let mut params = Subject::user("maglev-sandbox").params()?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate, Issuer::new(params, key)))
}

/// Writes the key pair that signs ServiceAccount tokens: `service-account.key` and `service-account.pub`.
pub fn write_token_keys(dir: &Path) -> Result<(), SandboxError> {
    let named = |source| SandboxError::Certificate { name: "ServiceAccount tokens".into(), source };
    let key = KeyPair::generate().map_err(named)?;
    write(&dir.join("service-account.key"), &key.serialize_pem())?;
    write(&dir.join("service-account.pub"), &key.public_key_pem())
}

/// Writes a file that only its owner can read.
pub fn write(path: &Path, text: &str) -> Result<(), SandboxError> {
    let written = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path);
    written.and_then(|mut file| file.write_all(text.as_bytes())).map_err(SandboxError::file("write", path))
}

//! Reads certificates from PEM and checks that a probe can use them.

use std::collections::BTreeMap;

use rustls::{
    Error, InconsistentKeys, RootCertStore,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::CertifiedKey,
};

use super::{CA_KEY, CERTIFICATE_KEY, Fault, PRIVATE_KEY};
use maglev_model::config::{Authorities, ClientCertificate};

type Data = BTreeMap<String, Vec<u8>>;

/// The usable CA certificates of an object.
pub struct UsableAuthorities {
    pub authorities: Authorities,
    /// The fault of the entries that are skipped, if any.
    pub skipped: Option<Fault>,
}

/// The CA certificates in `data`. An entry that cannot be used is skipped if another one can be used.
pub fn authorities(data: &Data) -> Result<UsableAuthorities, Fault> {
    let mut roots = RootCertStore::empty();
    let (mut certificates, mut first_fault) = (Vec::new(), None);
    for (number, entry) in (1..).zip(CertificateDer::pem_slice_iter(value(data, CA_KEY)?)) {
        let added = match entry {
            Ok(certificate) => {
                let added = roots.add(certificate.clone()).map_err(|error| error.to_string());
                added.map(|()| certificates.push(certificate.to_vec()))
            }
            Err(_) => Err("not valid PEM".to_owned()),
        };
        if let Err(error) = added
            && first_fault.is_none()
        {
            first_fault =
                Some(format!("whose {CA_KEY} has an invalid certificate at number {number} ({error}): correct it"));
        }
    }
    let skipped = first_fault.map(Fault::unreadable);
    if certificates.is_empty() {
        return Err(skipped
            .unwrap_or_else(|| Fault::unreadable(format!("whose {CA_KEY} has no certificate in PEM: correct it"))));
    }
    Ok(UsableAuthorities { authorities: Authorities { certificates: certificates.into() }, skipped })
}

/// The client certificate in `data`, with its private key.
pub fn client_certificate(data: &Data) -> Result<ClientCertificate, Fault> {
    let chain = certificates(data, CERTIFICATE_KEY)?;
    // The error is not included, since it may show parts of the key.
    let key = PrivateKeyDer::from_pem_slice(value(data, PRIVATE_KEY)?)
        .map_err(|_| Fault::unreadable(format!("whose {PRIVATE_KEY} has no private key in PEM: correct it")))?;
    let client =
        ClientCertificate { chain: chain.iter().map(|one| one.to_vec()).collect(), key: key.secret_der().into() };
    match CertifiedKey::from_der(chain, key, &ring::default_provider()) {
        Ok(_) => Ok(client),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(Fault::unreadable(format!(
            "whose {PRIVATE_KEY} is not the key of the certificate in {CERTIFICATE_KEY}: correct it"
        ))),
        Err(Error::InvalidCertificate(error)) => {
            Err(Fault::unreadable(format!("whose {CERTIFICATE_KEY} has no usable certificate ({error:?}): correct it")))
        }
        // The error is not included, since it may show parts of the key.
        Err(_) => Err(Fault::unreadable(format!("whose {PRIVATE_KEY} has a key of an unsupported type: correct it"))),
    }
}

fn certificates(data: &Data, key: &str) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let read: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(value(data, key)?).collect();
    match read {
        Ok(read) if !read.is_empty() => Ok(read.into_iter().map(CertificateDer::into_owned).collect()),
        Ok(_) => Err(Fault::unreadable(format!("whose {key} has no certificate in PEM: correct it"))),
        Err(_) => Err(Fault::unreadable(format!("whose {key} is not valid PEM: correct it"))),
    }
}

fn value<'a>(data: &'a Data, key: &str) -> Result<&'a [u8], Fault> {
    data.get(key).map(Vec::as_slice).ok_or_else(|| Fault::unreadable(format!("which has no key {key}: add it")))
}

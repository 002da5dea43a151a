//! Certificates out of PEM, checked so far that a probe can use them.

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

/// The authorities in `data`.
pub fn authorities(data: &Data) -> Result<Authorities, Fault> {
    let certificates = certificates(data, CA_KEY)?;
    let mut roots = RootCertStore::empty();
    for (number, certificate) in (1..).zip(&certificates) {
        roots.add(certificate.clone()).map_err(|error| {
            Fault::unreadable(format!("whose {CA_KEY} has no certificate as number {number} ({error}): mend it"))
        })?;
    }
    Ok(Authorities { certificates: certificates.iter().map(|one| one.to_vec()).collect() })
}

/// The certificate in `data` and its key.
pub fn client_certificate(data: &Data) -> Result<ClientCertificate, Fault> {
    let chain = certificates(data, CERTIFICATE_KEY)?;
    // What does not decode is not shown: it is a key.
    let key = PrivateKeyDer::from_pem_slice(value(data, PRIVATE_KEY)?)
        .map_err(|_| Fault::unreadable(format!("whose {PRIVATE_KEY} has no private key in PEM: mend it")))?;
    let made =
        ClientCertificate { chain: chain.iter().map(|one| one.to_vec()).collect(), key: key.secret_der().into() };
    match CertifiedKey::from_der(chain, key, &ring::default_provider()) {
        Ok(_) => Ok(made),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(Fault::unreadable(format!(
            "whose {PRIVATE_KEY} is not the key of the certificate in its {CERTIFICATE_KEY}: mend it"
        ))),
        // Without the key's share in it.
        Err(Error::InvalidCertificate(error)) => Err(Fault::unreadable(format!(
            "whose {CERTIFICATE_KEY} has no certificate that can be used ({error:?}): mend it"
        ))),
        Err(_) => Err(Fault::unreadable(format!("whose {PRIVATE_KEY} is of no kind that can be used: mend it"))),
    }
}

fn certificates(data: &Data, key: &str) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let read: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(value(data, key)?).collect();
    match read {
        Ok(found) if !found.is_empty() => Ok(found.into_iter().map(CertificateDer::into_owned).collect()),
        Ok(_) => Err(Fault::unreadable(format!("whose {key} has no certificate in PEM: mend it"))),
        Err(_) => Err(Fault::unreadable(format!("whose {key} is not PEM: mend it"))),
    }
}

fn value<'a>(data: &'a Data, key: &str) -> Result<&'a [u8], Fault> {
    data.get(key).map(Vec::as_slice).ok_or_else(|| Fault::unreadable(format!("which has no key {key}: add it")))
}

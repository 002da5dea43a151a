//! TLS of a client: the authorities that it trusts, and the name that it expects.

use std::{io, path::PathBuf, sync::Arc};

use prometheus::Registry;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, InvalidDnsNameError, ServerName, pem::PemObject as _},
    version::TLS13,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::authority_metrics::AuthorityMetrics;

/// The certificates of trusted authorities, in PEM.
#[derive(Clone, Debug)]
pub enum Authorities {
    /// A file, which is read for each connection.
    File(PathBuf),
    /// The text itself.
    Pem(Vec<u8>),
}

/// TLS with servers that have a certificate for one name. Their addresses do not matter.
#[derive(Clone, Debug)]
pub struct ClientTls {
    authorities: Authorities,
    name: ServerName<'static>,
}

/// A connection without TLS that can be trusted.
#[derive(Debug, thiserror::Error)]
pub enum TlsFailure {
    /// The server's certificate is not trusted.
    #[error("the certificate for {name} is not trusted: {reason}")]
    NotTrusted {
        /// The expected name.
        name: String,
        /// The reason.
        reason: String,
    },
    /// The connection failed otherwise.
    #[error("no TLS connection")]
    Broken(#[source] io::Error),
}

impl ClientTls {
    /// # Errors
    /// `name` is not a DNS name.
    pub fn new(authorities: Authorities, name: &str) -> Result<Self, InvalidDnsNameError> {
        Ok(Self { authorities, name: ServerName::try_from(name)?.to_owned() })
    }

    /// Registers the metric of the authorities' expiry, if they are in a file.
    ///
    /// # Errors
    /// If the metric is already registered.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        match &self.authorities {
            Authorities::File(path) => registry.register(Box::new(AuthorityMetrics::new(path.clone()))),
            Authorities::Pem(_) => Ok(()),
        }
    }

    /// Establishes TLS over `stream`.
    ///
    /// # Errors
    /// [`TlsFailure`].
    pub async fn connect<S>(&self, stream: S) -> Result<TlsStream<S>, TlsFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.config()?;
        let connected = TlsConnector::from(Arc::new(config)).connect(self.name.clone(), stream).await;
        connected.map_err(|error| match certificate_error(&error) {
            Some(reason) => self.not_trusted(&reason),
            None => TlsFailure::Broken(error),
        })
    }

    fn config(&self) -> Result<ClientConfig, TlsFailure> {
        let pem = match &self.authorities {
            Authorities::Pem(pem) => pem.clone(),
            Authorities::File(path) => {
                let failed =
                    |error| self.not_trusted(&format!("cannot read the authorities {}: {error}", path.display()));
                std::fs::read(path).map_err(failed)?
            }
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
        if roots.is_empty() {
            return Err(self.not_trusted("there is no certificate of an authority yet"));
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(&[&TLS13]).expect("ring supports TLS 1.3");
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    fn not_trusted(&self, reason: &str) -> TlsFailure {
        TlsFailure::NotTrusted { name: self.name.to_str().into_owned(), reason: reason.to_owned() }
    }
}

/// The text of an error that concerns the server's certificate.
fn certificate_error(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(error) => Some(error.to_string()),
        _ => None,
    }
}

impl TlsFailure {
    /// The failure among the causes of an error.
    pub fn find<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(failure) = error.downcast_ref::<Self>() {
                return Some(failure);
            }
            cause = error.source();
        }
        None
    }

    /// True if the server's certificate is not trusted.
    pub fn is_not_trusted(&self) -> bool {
        matches!(self, Self::NotTrusted { .. })
    }
}

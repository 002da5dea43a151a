//! TLS for probes: the crypto provider `ring`, one configuration per HealthCheck, and no session resumption, so that
//! every probe verifies the certificate.

mod explain;
mod fault_tracking;

use std::{io, net::IpAddr, sync::Arc};

use futures::TryFutureExt;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use maglev_model::{
    config::{Authorities, Tls},
    health::ProbeCode,
};

pub use self::fault_tracking::FaultTrackingStream;
use super::{http_request::without_port, prober::ProbeOutcome, progress::ProbeProgress};

/// The ALPN name of HTTP/1.1.
pub const HTTP_1: &[u8] = b"http/1.1";
/// The ALPN name of HTTP/2.
pub const HTTP_2: &[u8] = b"h2";

/// The certificate authorities that browsers trust.
pub fn well_known_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

/// The TLS settings of one HealthCheck.
pub struct TlsClient {
    connector: TlsConnector,
    /// The name in SNI and expected in the certificate; `None` for the backend's address.
    name: Option<ServerName<'static>>,
}

impl std::fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsClient").field("name", &self.name).finish_non_exhaustive()
    }
}

impl TlsClient {
    /// Prepares a client; `host` is the server name if `tls` has none.
    ///
    /// # Errors
    /// Human-readable message if the server name is invalid or a certificate cannot be used.
    pub fn new(tls: &Tls, host: Option<&str>, alpn: &[&[u8]], roots: &Arc<RootCertStore>) -> Result<Self, String> {
        let name = match tls.server_name.as_deref().or(host) {
            None => None,
            Some(name) => Some(
                ServerName::try_from(without_port(name).to_owned())
                    .map_err(|_| format!("server name {name:?} is neither a DNS name nor an IP address"))?,
            ),
        };
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("cannot set up TLS: {error}"))?;
        let builder = if tls.insecure_skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        } else {
            let authorities = tls.authorities.as_ref().map(root_store);
            builder.with_root_certificates(authorities.unwrap_or_else(|| Arc::clone(roots)))
        };
        let mut config = match &tls.client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let chain = client.chain.iter().map(|certificate| CertificateDer::from(certificate.clone())).collect();
                let key = PrivateKeyDer::try_from(client.key.to_vec());
                let key =
                    key.map_err(|error| format!("cannot use the private key of the client certificate: {error}"))?;
                let certified = builder.with_client_auth_cert(chain, key);
                certified.map_err(|error| format!("cannot use the client certificate: {error}"))?
            }
        };
        config.resumption = Resumption::disabled();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Self { connector: Arc::new(config).into(), name })
    }

    /// Performs the handshake, in which a timeout is `L6TOUT`.
    ///
    /// # Errors
    /// `L6RSP`.
    pub async fn handshake(
        &self,
        stream: TcpStream,
        address: IpAddr,
        progress: &ProbeProgress<'_>,
    ) -> Result<TlsStream<TcpStream>, ProbeOutcome> {
        progress.enter(ProbeCode::L6Timeout);
        // Nagle's algorithm would delay the small writes of a handshake.
        let _ = stream.set_nodelay(true);
        let name = self.name.clone().unwrap_or_else(|| ServerName::from(address));
        let named = progress.is_traced().then(|| name.to_str().into_owned());
        let stream = self.connector.connect(name, stream).map_err(|error| failed(&error)).await?;
        progress.trace(|| describe(stream.get_ref().1, named.as_deref().unwrap_or_default()));
        Ok(stream)
    }
}

/// A finished handshake as text.
fn describe(session: &ClientConnection, name: &str) -> String {
    let version = session.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS");
    let alpn = session.alpn_protocol().map_or("none".into(), String::from_utf8_lossy);
    let chain = session.peer_certificates().map_or(0, <[_]>::len);
    format!("TLS handshake done for {name}: {version}, {chain} certificates, protocol (ALPN): {alpn}")
}

/// A store that contains only `authorities`. Certificates that cannot be used are skipped: the index reports them.
fn root_store(authorities: &Authorities) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(
        authorities.certificates.iter().map(|certificate| CertificateDer::from(certificate.as_slice())),
    );
    Arc::new(roots)
}

fn failed(error: &io::Error) -> ProbeOutcome {
    let tls = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    let detail = tls.map_or_else(|| error.to_string(), explain::explain);
    ProbeOutcome::completed(ProbeCode::L6Response, format!("TLS handshake failed: {detail}"))
}

/// Accepts any certificate and any signature: `insecureSkipVerify`.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    /// The schemes that `ring` verifies, and further ones that servers may insist on, since no signature is verified.
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.0.signature_verification_algorithms.supported_schemes();
        schemes.extend([
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::ED448,
            SignatureScheme::RSA_PKCS1_SHA1,
            SignatureScheme::ECDSA_SHA1_Legacy,
        ]);
        schemes
    }
}

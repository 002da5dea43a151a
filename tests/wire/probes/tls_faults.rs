//! TLS servers with unusual keys, certificates and ends of a connection.

use std::sync::Arc;

use maglev_health::NetworkProber;
use maglev_model::{config::Authorities, health::ProbeCode::*};
use rustls::{
    ServerConfig, SignatureAlgorithm, SignatureScheme,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::{CertifiedKey, Signer, SigningKey},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::{
    checks::{self, https, tcp, tls},
    probe,
    servers::{self, Authority, Server, talk},
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

/// Serves TLS with `config`, sends [`OK`] and closes.
async fn serve(config: ServerConfig) -> Server {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    servers::serve(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await?;
            stream.read_u8().await?;
            stream.write_all(OK).await?;
            stream.shutdown().await
        }
    })
    .await
}

fn builder() -> rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth()
}

/// A key of ECDSA P-521. Its signatures are not valid, since `ring` has no such key.
#[derive(Debug)]
struct P521;

impl SigningKey for P521 {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ECDSA_NISTP521_SHA512).then(|| Box::new(Self) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for P521 {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(vec![0; 139])
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP521_SHA512
    }
}

#[derive(Debug)]
struct Fixed(Arc<CertifiedKey>);

impl ResolvesServerCert for Fixed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn self_signed(params: &rcgen::CertificateParams) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.clone().self_signed(&key).unwrap();
    (certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}

#[tokio::test]
async fn p_521_works_without_verification_and_is_explained_with_it() {
    let (certificate, _) = self_signed(&rcgen::CertificateParams::new(vec!["web.example".to_owned()]).unwrap());
    let key = Arc::new(CertifiedKey::new(vec![certificate], Arc::new(P521)));
    let network = NetworkProber::new("1.2.3");
    let server = serve(builder().with_cert_resolver(Arc::new(Fixed(key)))).await;
    let check = || https(server.address.port(), "web.example");
    let (code, detail) = probe(&network, server.address, checks::insecure(check())).await;
    assert_eq!(code, L7Ok, "{detail}");
    let (code, detail) = probe(&network, server.address, check()).await;
    assert!(code == L6Response && detail.contains("P-521 is not supported"), "{detail}");
}

#[tokio::test]
async fn faults_of_certificates_are_explained() {
    let mut authority = rcgen::CertificateParams::new(vec!["web.example".to_owned()]).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let mut expired = rcgen::CertificateParams::new(vec!["web.example".to_owned()]).unwrap();
    expired.not_after = rcgen::date_time_ymd(2001, 2, 3);
    let mut future = rcgen::CertificateParams::new(vec!["web.example".to_owned()]).unwrap();
    future.not_before = rcgen::date_time_ymd(2100, 2, 3);
    let plain = || rcgen::CertificateParams::new(vec!["web.example".to_owned()]).unwrap();
    let table = [
        (authority, true, "web.example", "is a CA certificate (CA:TRUE)"),
        (plain(), false, "web.example", "issued by no trusted CA: put the certificate"),
        (plain(), true, "api.example", "valid for web.example, not for \"api.example\": set tls.serverName"),
        (expired, true, "web.example", "expired on 2001-02-03"),
        (future, true, "web.example", "not valid before 2100-02-03"),
    ];
    let network = NetworkProber::new("1.2.3");
    for (params, is_trusted, name, expected) in table {
        let (certificate, key) = self_signed(&params);
        let trusted = Authorities { certificates: [certificate.to_vec()].into() };
        let server = serve(builder().with_single_cert(vec![certificate], key).unwrap()).await;
        let check = || checks::certified(https(server.address.port(), name), is_trusted.then(|| trusted.clone()), None);
        let (code, detail) = probe(&network, server.address, check()).await;
        assert!(code == L6Response && detail.contains(expected), "{detail}");
        assert!(!detail.contains("OtherError"), "{detail}");
        assert_eq!(probe(&network, server.address, checks::insecure(check())).await.0, L7Ok);
    }
}

#[tokio::test]
async fn unusable_authority_beside_a_usable_one_is_skipped() {
    let authority = Authority::new();
    let network = NetworkProber::new("1.2.3");
    let server = authority.server("web.example", servers::holds()).await;
    let usable = authority.authorities().certificates[0].clone();
    let both = Authorities { certificates: [b"0\x03\x02\x01\x01".to_vec(), usable].into() };
    let check = checks::certified(tls(tcp(server.address.port()), "web.example"), Some(both), None);
    let (code, detail) = probe(&network, server.address, check).await;
    assert_eq!(code, L6Ok, "{detail}");
}

/// The server closes the connection without `close_notify`.
#[tokio::test]
async fn body_without_close_notify_is_read() {
    let authority = Authority::new();
    let network = NetworkProber::with_roots("1.2.3", authority.roots());
    for (response, pattern, expected) in [
        (&b"HTTP/1.1 200 OK\r\n\r\nok"[..], "^ok$", L7Ok),
        (b"HTTP/1.1 200 OK\r\n\r\nok", "^ok", L7Ok),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "^ok$", L7Ok),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", "^ok$", L7Response),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", "^ok", L7Ok),
    ] {
        let send = talk(move |mut stream, _| async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await?);
            }
            stream.write_all(response).await?;
            stream.flush().await
        });
        let server = authority.server("web.example", send).await;
        let check = checks::with_body(https(server.address.port(), "web.example"), pattern);
        let (code, detail) = probe(&network, server.address, check).await;
        assert_eq!(code, expected, "{pattern}: {detail}");
    }
}

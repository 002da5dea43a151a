//! The node's HTTPS server, which only the API server may ask: logs and port-forwards.
//!
//! A client must show the one certificate that the API server has for this purpose.

mod client_check;
mod log_requests;
mod port_forward;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    http::{StatusCode, Uri},
    routing::{any, get},
};
use futures::{FutureExt, future::BoxFuture};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{NodeOptions, context::Context};
use crate::SandboxError;

/// How long a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pause after a failed accept: there are no file descriptors left, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound server.
pub struct Server {
    listener: TcpListener,
    tls: TlsAcceptor,
}

impl Server {
    /// Listens on a free port of the node's address.
    pub async fn bind(options: &NodeOptions) -> Result<Self, SandboxError> {
        let tls = tls_config(options)?;
        let wanted = SocketAddr::from((options.address, 0));
        let listener = TcpListener::bind(wanted).await;
        let listener = listener.map_err(|source| SandboxError::Listen { address: wanted, source })?;
        Ok(Self { listener, tls: TlsAcceptor::from(Arc::new(tls)) })
    }

    /// Where it listens.
    pub fn address(&self) -> Result<SocketAddr, SandboxError> {
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        self.listener.local_addr().map_err(|source| SandboxError::Listen { address: unknown, source })
    }

    /// Serves until `shutdown`, which breaks open requests off.
    pub fn run(self, node: Arc<Context>, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let router = router(node);
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    Some(_) = connections.join_next() => {}
                    accepted = self.listener.accept() => match accepted {
                        Ok((stream, _)) => {
                            connections.spawn(converse(stream, self.tls.clone(), router.clone()));
                        }
                        Err(error) => {
                            tracing::warn!(%error, "the node's server could not accept a connection");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            }
        }
        .boxed()
    }
}

fn router(node: Arc<Context>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/containerLogs/{namespace}/{pod}/{container}", get(log_requests::answer))
        .route("/portForward/{namespace}/{pod}", any(port_forward::answer))
        .route("/portForward/{namespace}/{pod}/{uid}", any(port_forward::answer_with_uid))
        .fallback(|uri: Uri| async move {
            let text = format!("the sandbox's node has logs and port-forward, but not {}\n", uri.path());
            (StatusCode::NOT_IMPLEMENTED, text)
        })
        .with_state(node)
}

async fn converse(stream: TcpStream, tls: TlsAcceptor, router: Router) {
    let stream = match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::warn!(%error, "the node's server refused a client"),
        Err(_) => return,
    };
    let service = TowerToHyperService::new(router);
    let http = auto::Builder::new(TokioExecutor::new());
    if let Err(error) = http.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection to the node's server ended early");
    }
}

fn tls_config(options: &NodeOptions) -> Result<ServerConfig, SandboxError> {
    let name = format!("node {}", options.name);
    let wrong = |source| SandboxError::Tls { name: name.clone(), source };
    let pem = |error: rustls::pki_types::pem::Error| wrong(rustls::Error::General(error.to_string()));
    let certificate = |text: &str| CertificateDer::from_pem_slice(text.as_bytes()).map_err(pem);
    let key = PrivateKeyDer::from_pem_slice(options.serving.key_pem.as_bytes()).map_err(pem)?;
    let chain = vec![certificate(&options.serving.certificate_pem)?];
    let (authority, client) = (certificate(&options.authority_pem)?, certificate(&options.api_server_certificate_pem)?);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let check = client_check::ClientCheck::new(authority, client, &provider).map_err(wrong)?;
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(wrong)?;
    config.with_client_cert_verifier(Arc::new(check)).with_single_cert(chain, key).map_err(wrong)
}

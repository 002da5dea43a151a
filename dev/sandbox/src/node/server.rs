//! The node's HTTPS server for logs and port-forwards.
//!
//! The only accepted client is the API server, identified by its client certificate.

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

/// Time limit of the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pause after a failed accept, most likely for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub struct Server {
    listener: TcpListener,
    tls: TlsAcceptor,
}

impl Server {
    /// Listens on a free port of the node's address.
    pub async fn bind(options: &NodeOptions) -> Result<Self, SandboxError> {
        let tls = tls_config(options)?;
        let address = SocketAddr::from((options.address, 0));
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| SandboxError::Listen { address, source })?;
        Ok(Self { listener, tls: TlsAcceptor::from(Arc::new(tls)) })
    }

    pub fn address(&self) -> Result<SocketAddr, SandboxError> {
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        self.listener.local_addr().map_err(|source| SandboxError::Listen { address: unknown, source })
    }

    /// Serves until `shutdown`, which aborts open requests.
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
                            connections.spawn(serve_connection(stream, self.tls.clone(), router.clone()));
                        }
                        Err(error) => {
                            tracing::warn!(%error, "cannot accept a connection to a node's server");
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
        .route("/containerLogs/{namespace}/{pod}/{container}", get(log_requests::handle))
        .route("/portForward/{namespace}/{pod}", any(port_forward::handle))
        .route("/portForward/{namespace}/{pod}/{uid}", any(port_forward::handle_with_uid))
        .fallback(|uri: Uri| async move {
            let text =
                format!("{} is not supported: the sandbox's node serves logs and port-forward only\n", uri.path());
            (StatusCode::NOT_IMPLEMENTED, text)
        })
        .with_state(node)
}

async fn serve_connection(stream: TcpStream, tls: TlsAcceptor, router: Router) {
    let stream = match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::warn!(%error, "a node's server rejected a client"),
        Err(_) => return,
    };
    let service = TowerToHyperService::new(router);
    let http = auto::Builder::new(TokioExecutor::new());
    if let Err(error) = http.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection to a node's server broke");
    }
}

fn tls_config(options: &NodeOptions) -> Result<ServerConfig, SandboxError> {
    let name = format!("node {}", options.name);
    let tls_error = |source| SandboxError::Tls { name: name.clone(), source };
    let pem = |error: rustls::pki_types::pem::Error| tls_error(rustls::Error::General(error.to_string()));
    let certificate = |text: &str| CertificateDer::from_pem_slice(text.as_bytes()).map_err(pem);
    let key = PrivateKeyDer::from_pem_slice(options.serving.key_pem.as_bytes()).map_err(pem)?;
    let chain = vec![certificate(&options.serving.certificate_pem)?];
    let (authority, client) = (certificate(&options.authority_pem)?, certificate(&options.api_server_certificate_pem)?);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let check = client_check::ClientCheck::new(authority, client, &provider).map_err(tls_error)?;
    let config =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(tls_error)?;
    config.with_client_cert_verifier(Arc::new(check)).with_single_cert(chain, key).map_err(tls_error)
}

//! The health server of the node's Service proxy: `/livez` and `/healthz` on port 10256, where kube-proxy has its own. Agents
//! probe it to decide on traffic to the node.

use std::net::{Ipv4Addr, SocketAddr};

use axum::{Router, routing::get};
use futures::{FutureExt as _, future::BoxFuture};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::SandboxError;

/// The port of kube-proxy's health server.
const PORT: u16 = 10256;

pub struct ServiceProxyHealth {
    listener: TcpListener,
}

impl ServiceProxyHealth {
    /// Listens on the node's address.
    ///
    /// # Errors
    /// The port is in use on this address or on all of them.
    pub async fn bind(address: Ipv4Addr) -> Result<Self, SandboxError> {
        let address = SocketAddr::from((address, PORT));
        let listener = TcpListener::bind(address).await;
        Ok(Self { listener: listener.map_err(|source| SandboxError::Listen { address, source })? })
    }

    /// Serves until `shutdown`.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        let router = Router::new().route("/livez", get(|| async { "ok" })).route("/healthz", get(|| async { "ok" }));
        async move {
            if let Some(Err(error)) =
                shutdown.run_until_cancelled(axum::serve(self.listener, router).into_future()).await
            {
                tracing::warn!(%error, "the health server of a node's Service proxy has failed");
            }
        }
        .boxed()
    }
}

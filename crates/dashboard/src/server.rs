//! An HTTP server on one address.

use std::net::SocketAddr;

use axum::Router;
use maglev_net::{Connections, Listener, serve_http};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Name of the server in logs and metrics.
pub const SERVER: &str = "dashboard";

#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    connections: Connections,
    bound: watch::Sender<Option<SocketAddr>>,
}

impl Server {
    pub fn new(address: SocketAddr, connections: Connections) -> Self {
        Self { address, connections, bound: watch::Sender::new(None) }
    }

    /// The bound address, once the server listens. Differs from the configured address only if its port is 0.
    pub fn bound(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.bound.subscribe()
    }

    /// Serves until `shutdown`. A failure to bind is logged and retried.
    pub async fn run(self, router: Router, shutdown: CancellationToken) {
        let listener = tokio::select! {
            listener = Listener::bind(self.address, self.connections) => listener,
            () = shutdown.cancelled() => return,
        };
        self.bound.send_replace(listener.local_addr());
        serve_http(listener, router, shutdown).await;
    }
}

//! An HTTP server on one address.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, serve::ListenerExt as _};
use tokio::{net::TcpListener, sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// Longest time for requests to finish after the shutdown begins.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    bound: watch::Sender<Option<SocketAddr>>,
}

impl Server {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, bound: watch::Sender::new(None) }
    }

    /// The bound address, once the server listens. Differs from the configured address only if its port is 0.
    pub fn bound(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.bound.subscribe()
    }

    /// Serves until `shutdown`. A failure to bind is logged and retried.
    pub async fn run(self, router: Router, shutdown: CancellationToken) {
        let stop = shutdown.clone();
        let serve = async {
            // Messages must not be delayed.
            let listener = self.listen().await.tap_io(|stream| drop(stream.set_nodelay(true)));
            let served = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
                .with_graceful_shutdown(stop.cancelled_owned());
            if let Err(error) = served.await {
                tracing::error!(address = %self.address, %error, "dashboard server failed");
            }
        };
        tokio::select! {
            () = serve => {}
            () = async { shutdown.cancelled().await; sleep(SHUTDOWN_TIMEOUT).await } => {}
        }
    }

    async fn listen(&self) -> TcpListener {
        let listener = maglev_net::bind(self.address, "dashboard").await;
        self.bound.send_replace(listener.local_addr().ok());
        listener
    }
}

//! One listening socket and what it serves.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, serve::ListenerExt as _};
use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::{net::TcpListener, sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// How long requests may take to end once the process is to.
const END_LIMIT: Duration = Duration::from_secs(2);
const MAX_DELAY: Duration = Duration::from_secs(30);

/// A server of one address.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    bound: watch::Sender<Option<SocketAddr>>,
}

impl Server {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, bound: watch::Sender::new(None) }
    }

    /// Where it listens, once it does; differs from the address asked for only by a port 0.
    pub fn bound(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.bound.subscribe()
    }

    /// Serves until `shutdown`. An address in use is an error in the log and a retry.
    pub async fn run(self, router: Router, shutdown: CancellationToken) {
        let stop = shutdown.clone();
        let serve = async {
            // Each message is to be on its way at once.
            let listener = self.listen().await.tap_io(|stream| drop(stream.set_nodelay(true)));
            let served = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
                .with_graceful_shutdown(stop.cancelled_owned());
            if let Err(err) = served.await {
                tracing::error!(address = %self.address, %err, "dashboard-server-failed");
            }
        };
        tokio::select! {
            () = serve => {}
            () = async { shutdown.cancelled().await; sleep(END_LIMIT).await } => {}
        }
    }

    async fn listen(&self) -> TcpListener {
        let mut delays = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(500))
            .with_max_delay(MAX_DELAY)
            .without_max_times()
            .build();
        loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => {
                    self.bound.send_replace(listener.local_addr().ok());
                    return listener;
                }
                Err(err) => {
                    let delay = delays.next().unwrap_or(MAX_DELAY);
                    let retry_s = delay.as_secs_f64();
                    tracing::error!(address = %self.address, %err, retry_s, "dashboard-listen-failed");
                    sleep(delay).await;
                }
            }
        }
    }
}

//! A server of one backend, which responds according to its mode. Started by [`super::DemoBackends`] on the backend's own
//! address, and by [`super::VipServers`] on the VIPs.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    DemoBackend, Mode,
    echo::echo_stream,
    place::Place,
    response::{Peers, respond},
};

/// Maximum number of connections; further ones wait in the listener's queue.
const MAX_CONNECTIONS: usize = 4096;
/// Pause before binding the port again, or accepting again, after an error.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Http,
    Echo,
}

pub struct Server {
    pub backend: Arc<DemoBackend>,
    pub place: Place,
    /// The listener on the place; created if it is missing.
    pub listener: Option<TcpListener>,
    pub service: Service,
}

impl Server {
    /// Serves until `shutdown`, which also closes open connections.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.serve() => {}
            }
        }
        .boxed()
    }

    async fn serve(self) {
        let Self { backend, place, mut listener, service } = self;
        let mut mode = backend.mode.subscribe();
        let mut connections = JoinSet::new();
        loop {
            let refusing = *mode.borrow_and_update() == Mode::Refuse;
            if refusing {
                listener = None;
                connections.abort_all();
            } else if listener.is_none() {
                listener = listen(&backend, &place).await;
            }
            tokio::select! {
                _ = mode.changed() => {}
                stream = accept(listener.as_ref()), if connections.len() < MAX_CONNECTIONS => {
                    connections.spawn(serve_connection(Arc::clone(&backend), stream, &place, service));
                }
                Some(_) = connections.join_next() => {}
                () = tokio::time::sleep(RETRY_PAUSE), if listener.is_none() && !refusing => {}
            }
        }
    }
}

async fn listen(backend: &DemoBackend, place: &Place) -> Option<TcpListener> {
    let (backend, address) = (&backend.name, place.address);
    let failed =
        |error: &_| tracing::warn!(backend, %address, %error, "cannot listen on the address of a demo backend");
    place.listen().await.inspect_err(failed).ok()
}

/// Accepts the next connection; pending forever without a listener.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // Out of file descriptors, or the client has closed the connection.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to a demo backend");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Serves one connection, of which only VIPs report client and VIP.
fn serve_connection(
    backend: Arc<DemoBackend>,
    stream: TcpStream,
    place: &Place,
    service: Service,
) -> BoxFuture<'static, ()> {
    if service == Service::Echo {
        return echo_stream(backend, stream).boxed();
    }
    let peers = place.namespace.as_ref().and_then(|_| Peers::of_vip(&stream));
    async move {
        let service = service_fn(|request| {
            let backend = Arc::clone(&backend);
            async move { respond(&backend, &request, peers).await }
        });
        // Health checkers often close connections early, so errors are not logged.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }
    .boxed()
}

//! The HTTP server of one backend, which responds according to its mode. Started by [`super::DemoBackends`].

use std::{convert::Infallible, sync::Arc, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{DemoBackend, Mode};

/// Maximum number of connections; further ones wait in the listener's queue.
const MAX_CONNECTIONS: usize = 4096;
/// Pause before binding the port again, or accepting again, after an error.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

pub struct Server {
    pub backend: Arc<DemoBackend>,
    pub listener: TcpListener,
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
        let Self { backend, listener } = self;
        let mut listener = Some(listener);
        let mut mode = backend.mode.subscribe();
        let mut connections = JoinSet::new();
        loop {
            let refusing = *mode.borrow_and_update() == Mode::Refuse;
            if refusing {
                listener = None;
                connections.abort_all();
            } else if listener.is_none() {
                listener = rebind(&backend).await;
            }
            tokio::select! {
                _ = mode.changed() => {}
                stream = accept(listener.as_ref()), if connections.len() < MAX_CONNECTIONS => {
                    connections.spawn(serve_connection(Arc::clone(&backend), stream));
                }
                Some(_) = connections.join_next() => {}
                () = tokio::time::sleep(RETRY_PAUSE), if listener.is_none() && !refusing => {}
            }
        }
    }
}

async fn rebind(backend: &DemoBackend) -> Option<TcpListener> {
    TcpListener::bind(backend.address)
        .await
        .inspect_err(|error| tracing::warn!(backend = backend.name, address = %backend.address, %error, "cannot listen on the address of a demo backend"))
        .ok()
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

async fn serve_connection(backend: Arc<DemoBackend>, stream: TcpStream) {
    let service = service_fn(|request| {
        let backend = Arc::clone(&backend);
        async move { Ok::<_, Infallible>(respond(&backend, &request).await) }
    });
    // Health checkers often close connections early, so errors are not logged.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(backend: &DemoBackend, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mode = *backend.mode.borrow();
    let (status, body) = match mode {
        Mode::Hang => return std::future::pending().await,
        Mode::Fail => (StatusCode::SERVICE_UNAVAILABLE, format!("{} is failing\n", backend.name)),
        Mode::Ok | Mode::Slow | Mode::Refuse if !matches!(request.uri().path(), "/" | "/healthz") => {
            (StatusCode::NOT_FOUND, "the only paths are / and /healthz\n".to_owned())
        }
        Mode::Ok | Mode::Refuse => (StatusCode::OK, format!("{}\n", backend.name)),
        Mode::Slow => {
            tokio::time::sleep(backend.slow).await;
            (StatusCode::OK, format!("{}\n", backend.name))
        }
    };
    backend.responses.fetch_add(1, Ordering::Relaxed);
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}

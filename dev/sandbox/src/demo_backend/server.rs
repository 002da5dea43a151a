//! One backend's HTTP server: answers as its mode says. Started by [`super::DemoBackends`].

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

/// Connections served at once; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 4096;
/// How long to wait before asking for the port again when it cannot be had.
const REBIND_PAUSE: Duration = Duration::from_millis(200);

/// A backend and the listener it starts with.
pub struct Server {
    pub backend: Arc<DemoBackend>,
    pub listener: TcpListener,
}

impl Server {
    /// Accepts and answers until `shutdown`, which also breaks open connections.
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
                    connections.spawn(converse(Arc::clone(&backend), stream));
                }
                Some(_) = connections.join_next() => {}
                () = tokio::time::sleep(REBIND_PAUSE), if listener.is_none() && !refusing => {}
            }
        }
    }
}

async fn rebind(backend: &DemoBackend) -> Option<TcpListener> {
    TcpListener::bind(backend.address)
        .await
        .inspect_err(|error| tracing::warn!(backend = backend.name, address = %backend.address, %error, "cannot listen again yet"))
        .ok()
}

/// The next connection; never returns without a listener.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // Out of descriptors, or a connection that went away while it waited: neither is a reason to stop serving.
            Err(error) => {
                tracing::warn!(%error, "a demo backend could not accept a connection");
                tokio::time::sleep(REBIND_PAUSE).await;
            }
        }
    }
}

async fn converse(backend: Arc<DemoBackend>, stream: TcpStream) {
    let answer = service_fn(|request| {
        let backend = Arc::clone(&backend);
        async move { Ok::<_, Infallible>(respond(&backend, &request).await) }
    });
    // A client that goes away early is what health checkers do all day: not worth a word.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

async fn respond(backend: &DemoBackend, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mode = *backend.mode.borrow();
    let (status, body) = match mode {
        Mode::Hang => return std::future::pending().await,
        Mode::Fail => (StatusCode::SERVICE_UNAVAILABLE, format!("{} is failing\n", backend.name)),
        Mode::Ok | Mode::Slow | Mode::Refuse if !matches!(request.uri().path(), "/" | "/healthz") => {
            (StatusCode::NOT_FOUND, "only / and /healthz are here\n".to_owned())
        }
        Mode::Ok | Mode::Refuse => (StatusCode::OK, format!("{}\n", backend.name)),
        Mode::Slow => {
            tokio::time::sleep(backend.slow).await;
            (StatusCode::OK, format!("{}\n", backend.name))
        }
    };
    backend.answered.fetch_add(1, Ordering::Relaxed);
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}

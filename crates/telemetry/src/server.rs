//! The HTTP server of `/metrics`, `/healthz` and `/readyz`. The binaries provide the checks and run the server.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Extension, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use maglev_auth::{Call, Denial, Guard, Permission, Refusal};
use maglev_net::{ConnectionHandle, ConnectionLimits, ConnectionMetrics, Connections, Listener, Slots, serve_http};
use prometheus::{Registry, TextEncoder, proto::MetricFamily};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::Error;

/// Name of the server in logs and metrics.
const SERVER: &str = "metrics";

/// The check behind `/healthz` or `/readyz`; the error is a human-readable reason.
pub type EndpointCheck = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

pub struct HttpServer {
    address: SocketAddr,
    limits: ConnectionLimits,
    metrics: ConnectionMetrics,
    state: EndpointState,
    bound: watch::Sender<Option<SocketAddr>>,
}

#[derive(Clone)]
struct EndpointState {
    registry: Registry,
    scrape: Arc<Mutex<()>>,
    /// Responses that are being written.
    slots: Slots,
    live: EndpointCheck,
    ready: EndpointCheck,
    guard: Guard,
}

impl HttpServer {
    /// A server for `address`; `live` is the check of `/healthz` and `ready` the check of `/readyz`.
    ///
    /// # Errors
    /// If the registry already has the metrics of such a server.
    pub fn new(
        address: SocketAddr,
        registry: Registry,
        live: EndpointCheck,
        ready: EndpointCheck,
    ) -> Result<Self, Error> {
        let metrics = ConnectionMetrics::new(SERVER);
        let name = "maglev_server_connections";
        metrics.register(&registry).map_err(|source| Error::Metric { name, source })?;
        let (scrape, slots, guard) = (Arc::default(), Slots::for_large_responses(), Guard::default());
        let state = EndpointState { registry, scrape, slots, live, ready, guard };
        Ok(Self { address, limits: ConnectionLimits::METRICS, metrics, state, bound: watch::Sender::new(None) })
    }

    /// Replaces [`ConnectionLimits::METRICS`].
    #[must_use]
    pub fn with_limits(self, limits: ConnectionLimits) -> Self {
        Self { limits, ..self }
    }

    /// Decides on requests of `/metrics`. By default all are answered. Tokens are accepted without TLS: subjects that may
    /// read metrics should have no other permission.
    #[must_use]
    pub fn with_guard(mut self, guard: Guard) -> Self {
        self.state.guard = guard;
        self
    }

    /// The address of the listening socket; `None` before it listens. Differs from the configured address if that has
    /// port 0.
    pub fn bound(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.bound.subscribe()
    }

    /// Serves until `shutdown`. If the port is in use, logs an error and retries.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let connections = Connections::new(SERVER, self.limits, self.metrics);
            let serve = async {
                let listener = Listener::bind(self.address, connections).await;
                self.bound.send_replace(listener.local_addr());
                serve_http(listener, router(self.state), shutdown.clone()).await;
            };
            // A request that does not end must not delay the end of the program.
            tokio::select! {
                () = serve => {}
                () = async { shutdown.cancelled().await; tokio::time::sleep(Duration::from_secs(1)).await } => {}
            }
        }
        .boxed()
    }
}

/// Parses `ADDRESS:PORT`. An IPv6 address needs no brackets, because a manifest that puts a pod's address before `:9090`
/// is the same for both address families.
///
/// # Errors
/// Human-readable message with the text found and the format allowed.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let parts = || {
        let (address, port) = text.rsplit_once(':')?;
        Some((address.parse::<IpAddr>().ok()?, port.parse::<u16>().ok()?).into())
    };
    text.parse().ok().or_else(parts).ok_or_else(|| format!("found {text:?}, allowed is ADDRESS:PORT"))
}

fn router(state: EndpointState) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|State(state): State<EndpointState>| async move { check_response(&state.live) }))
        .route("/readyz", get(|State(state): State<EndpointState>| async move { check_response(&state.ready) }))
        .with_state(state)
}

/// A scrape of many objects takes CPU time: it runs on a blocking thread, and only one at a time.
/// Encodes one family after the other and drops each: the text and all families together would double the memory of a
/// large scrape.
fn text_of(families: Vec<MetricFamily>) -> prometheus::Result<String> {
    let mut text = String::new();
    families.into_iter().try_for_each(|family| TextEncoder::new().encode_utf8(&[family], &mut text))?;
    Ok(text)
}

async fn metrics(
    State(EndpointState { registry, scrape, slots, guard, .. }): State<EndpointState>,
    Extension(connection): Extension<ConnectionHandle>,
    headers: HeaderMap,
) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (permission, peer) = (Permission::View, Some(connection.peer()));
    if let Err(refusal) = guard.admit(Call { is_encrypted: true, authorization, permission, peer }) {
        return refused(&refusal);
    }
    let Some(slot) = slots.acquire(connection.peer().ip()).await else {
        let busy = "other scrapes are being written; try again\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], busy).into_response();
    };
    let guard = scrape.lock_owned().await;
    let text = tokio::task::spawn_blocking(move || {
        let _guard = guard;
        text_of(registry.gather())
    });
    let failed =
        |error: &dyn std::error::Error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response();
    match text.await {
        Ok(Ok(text)) => {
            let text = slot.hold(Bytes::from(text), &connection);
            ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response()
        }
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

fn refused(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::Token(Denial::NoKeys) => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Forbidden { .. } => StatusCode::FORBIDDEN,
        Refusal::NoTls | Refusal::NoToken | Refusal::Token(_) => StatusCode::UNAUTHORIZED,
    };
    (status, [(header::WWW_AUTHENTICATE, "Bearer")], format!("{refusal}\n")).into_response()
}

fn check_response(check: &EndpointCheck) -> Response {
    match check() {
        Ok(()) => (StatusCode::OK, "ok\n").into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("the server listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let mut response = String::new();
        stream.read_to_string(&mut response).await.expect("the server responds");
        response
    }

    async fn bound(mut bound_rx: watch::Receiver<Option<SocketAddr>>) -> SocketAddr {
        let address = *tokio::time::timeout(LIMIT, bound_rx.wait_for(Option::is_some))
            .await
            .expect("the server listens within the limit")
            .expect("the server runs");
        address.expect("the address is set")
    }

    #[tokio::test]
    async fn endpoints_return_metrics_and_the_results_of_the_checks() {
        let registry = Registry::new();
        crate::register_build_info(&registry, "1.2.3", "abc").expect("a fresh registry");
        let not_ready: EndpointCheck = Arc::new(|| Err("waiting for VPP".into()));
        let server = HttpServer::new(([127, 0, 0, 1], 0).into(), registry, Arc::new(|| Ok(())), not_ready)
            .expect("a fresh registry");
        let (bound_rx, shutdown) = (server.bound(), CancellationToken::new());
        let task = tokio::spawn(server.run(shutdown.clone()));
        let address = bound(bound_rx).await;

        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let response = get(address, "/readyz").await;
        assert!(response.starts_with("HTTP/1.1 503") && response.ends_with("waiting for VPP\n"), "{response}");
        let response = get(address, "/metrics").await;
        assert!(response.contains("maglev_build_info{commit=\"abc\",version=\"1.2.3\"} 1"), "{response}");
        shutdown.cancel();
        tokio::time::timeout(LIMIT, task).await.expect("the server ends").expect("the server does not panic");
    }

    #[tokio::test]
    async fn binding_to_a_port_in_use_is_retried() {
        let occupant = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = occupant.local_addr().expect("the listener is bound");
        let ok: EndpointCheck = Arc::new(|| Ok(()));
        let server = HttpServer::new(address, Registry::new(), Arc::clone(&ok), ok).expect("a fresh registry");
        let (bound_rx, shutdown) = (server.bound(), CancellationToken::new());
        let task = tokio::spawn(server.run(shutdown.clone()));
        tokio::task::yield_now().await;
        assert!(!task.is_finished() && bound_rx.borrow().is_none());
        drop(occupant);
        assert_eq!(bound(bound_rx).await, address);
        shutdown.cancel();
        tokio::time::timeout(LIMIT, task).await.expect("the server ends").expect("the server does not panic");
    }
}

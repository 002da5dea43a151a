//! `/metrics`, `/healthz` and `/readyz`. Made and run by the binaries; knows nothing of what the
//! answers mean.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode, http::header, response::IntoResponse, routing::get};
use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures::{FutureExt as _, future::BoxFuture};
use prometheus::{Registry, TextEncoder};
use tokio::{
    net::TcpListener,
    sync::{Mutex, watch},
};
use tokio_util::sync::CancellationToken;

/// Answers whether all is well, or a sentence that says what is not.
pub type Probe = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The server of the three endpoints.
pub struct HttpServer {
    address: SocketAddr,
    answers: Answers,
    bound: watch::Sender<Option<SocketAddr>>,
}

#[derive(Clone)]
struct Answers {
    registry: Registry,
    scrape: Arc<Mutex<()>>,
    live: Probe,
    ready: Probe,
}

impl HttpServer {
    /// A server for `address` that answers `/healthz` from `live` and `/readyz` from `ready`.
    pub fn new(address: SocketAddr, registry: Registry, live: Probe, ready: Probe) -> Self {
        Self {
            address,
            answers: Answers { registry, scrape: Arc::default(), live, ready },
            bound: watch::Sender::new(None),
        }
    }

    /// Where it listens, once it does; differs from the address asked for only by a port 0.
    pub fn bound(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.bound.subscribe()
    }

    /// Serves until `shutdown`. A port in use is an error in the log and a retry.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let stop = shutdown.clone();
            let serve = async {
                let listener = self.listen().await;
                let router = router(self.answers);
                let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
                if let Err(err) = served.await {
                    tracing::error!(address = %self.address, %err, "metrics-server-failed");
                }
            };
            // A request that does not end must not hold up the end of the program.
            tokio::select! {
                () = serve => {}
                () = async { shutdown.cancelled().await; tokio::time::sleep(Duration::from_secs(1)).await } => {}
            }
        }
        .boxed()
    }

    async fn listen(&self) -> TcpListener {
        let mut delays = delays();
        loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => {
                    self.bound.send_replace(listener.local_addr().ok());
                    return listener;
                }
                Err(err) => {
                    let delay = delays.next().unwrap_or(MAX_DELAY);
                    let retry_s = delay.as_secs_f64();
                    tracing::error!(address = %self.address, %err, retry_s, "metrics-listen-failed");
                    tokio::time::sleep(delay).await;
                }
            }
        }
    }
}

/// Reads an address and its port. An IPv6 address needs no brackets: a manifest that puts a pod's address before
/// `:9090` does not know its family.
///
/// # Errors
/// What was found and what is allowed.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let parts = || {
        let (address, port) = text.rsplit_once(':')?;
        Some((address.parse::<IpAddr>().ok()?, port.parse::<u16>().ok()?).into())
    };
    text.parse().ok().or_else(parts).ok_or_else(|| format!("found {text:?}, allowed is ADDRESS:PORT"))
}

const MAX_DELAY: Duration = Duration::from_secs(30);

fn delays() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(MAX_DELAY)
        .without_max_times()
        .build()
}

fn router(answers: Answers) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|State(answers): State<Answers>| async move { probe(&answers.live) }))
        .route("/readyz", get(|State(answers): State<Answers>| async move { probe(&answers.ready) }))
        .with_state(answers)
}

/// With many objects a scrape computes for a while: beside the tasks, and one scrape at a time.
async fn metrics(State(Answers { registry, scrape, .. }): State<Answers>) -> axum::response::Response {
    let turn = scrape.lock_owned().await;
    let text = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        TextEncoder::new().encode_to_string(&registry.gather())
    });
    let failed = |err: &dyn std::error::Error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{err}\n")).into_response();
    match text.await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Ok(Err(err)) => failed(&err),
        Err(err) => failed(&err),
    }
}

fn probe(probe: &Probe) -> axum::response::Response {
    match probe() {
        Ok(()) => (StatusCode::OK, "ok\n").into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    async fn ask(address: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        answer
    }

    async fn bound(mut bound_rx: watch::Receiver<Option<SocketAddr>>) -> SocketAddr {
        let address = *tokio::time::timeout(LIMIT, bound_rx.wait_for(Option::is_some))
            .await
            .expect("it listens within the limit")
            .expect("the server lives");
        address.expect("waited for")
    }

    #[tokio::test]
    async fn the_endpoints_answer_what_they_are_told() {
        let registry = Registry::new();
        crate::register_build_info(&registry, "1.2.3", "abc").expect("a fresh registry");
        let not_ready: Probe = Arc::new(|| Err("waiting for VPP".into()));
        let server = HttpServer::new(([127, 0, 0, 1], 0).into(), registry, Arc::new(|| Ok(())), not_ready);
        let (bound_rx, shutdown) = (server.bound(), CancellationToken::new());
        let task = tokio::spawn(server.run(shutdown.clone()));
        let address = bound(bound_rx).await;

        assert!(ask(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let answer = ask(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("waiting for VPP\n"), "{answer}");
        let answer = ask(address, "/metrics").await;
        assert!(answer.contains("maglev_build_info{commit=\"abc\",version=\"1.2.3\"} 1"), "{answer}");
        shutdown.cancel();
        tokio::time::timeout(LIMIT, task).await.expect("it ends").expect("it does not panic");
    }

    #[tokio::test]
    async fn a_port_in_use_is_tried_again() {
        let occupant = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = occupant.local_addr().expect("it is bound");
        let ok: Probe = Arc::new(|| Ok(()));
        let server = HttpServer::new(address, Registry::new(), Arc::clone(&ok), ok);
        let (bound_rx, shutdown) = (server.bound(), CancellationToken::new());
        let task = tokio::spawn(server.run(shutdown.clone()));
        tokio::task::yield_now().await;
        assert!(!task.is_finished() && bound_rx.borrow().is_none());
        drop(occupant);
        assert_eq!(bound(bound_rx).await, address);
        shutdown.cancel();
        tokio::time::timeout(LIMIT, task).await.expect("it ends").expect("it does not panic");
    }
}

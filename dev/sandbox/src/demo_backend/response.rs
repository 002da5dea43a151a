//! HTTP responses of a backend.

use std::{convert::Infallible, net::SocketAddr, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use tokio::net::TcpStream;

use super::{DemoBackend, Mode};

/// The header with the backend's name.
pub const BACKEND_HEADER: HeaderName = HeaderName::from_static("x-backend");
/// Interval between two lines of `/stream`.
const STREAM_INTERVAL: Duration = Duration::from_secs(1);

type Body = BoxBody<Bytes, Infallible>;

/// The ends of a connection to a VIP or to a pod.
#[derive(Clone, Copy, Debug)]
pub struct Peers {
    client: SocketAddr,
    local: SocketAddr,
    /// The name of the local end: `vip` or `pod`.
    kind: &'static str,
}

impl Peers {
    /// The ends of a connection to a VIP; `None` if it is closed already.
    pub fn of_vip(stream: &TcpStream) -> Option<Self> {
        Self::new(stream, "vip")
    }

    /// The ends of a connection to a pod; `None` if it is closed already.
    pub fn of_pod(stream: &TcpStream) -> Option<Self> {
        Self::new(stream, "pod")
    }

    fn new(stream: &TcpStream, kind: &'static str) -> Option<Self> {
        Some(Self { client: stream.peer_addr().ok()?, local: stream.local_addr().ok()?, kind })
    }
}

/// The response of the backend in its current mode. A response to a client of a VIP or pod names both, and is not counted.
pub async fn respond(
    backend: &DemoBackend,
    request: &Request<Incoming>,
    peers: Option<Peers>,
) -> Result<Response<Body>, Infallible> {
    let mode = *backend.mode.borrow();
    let path = request.uri().path();
    let (status, body) = match mode {
        Mode::Hang => return std::future::pending().await,
        Mode::Fail => (StatusCode::SERVICE_UNAVAILABLE, format!("{} is failing\n", backend.name)),
        Mode::Ok | Mode::Slow | Mode::Refuse if !matches!(path, "/" | "/healthz" | "/stream") => {
            (StatusCode::NOT_FOUND, "the only paths are /, /healthz and /stream\n".to_owned())
        }
        Mode::Ok | Mode::Refuse => (StatusCode::OK, greeting(backend, peers)),
        Mode::Slow => {
            tokio::time::sleep(backend.slow).await;
            (StatusCode::OK, greeting(backend, peers))
        }
    };
    if peers.is_none() {
        backend.responses.fetch_add(1, Ordering::Relaxed);
    }
    let body = if status == StatusCode::OK && path == "/stream" {
        BodyExt::boxed(StreamBody::new(lines(body)))
    } else {
        Full::new(Bytes::from(body)).boxed()
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Ok(name) = HeaderValue::from_str(&backend.name) {
        response.headers_mut().insert(BACKEND_HEADER, name);
    }
    Ok(response)
}

/// The backend's name and, for a VIP or pod, the connection's ends.
fn greeting(backend: &DemoBackend, peers: Option<Peers>) -> String {
    match peers {
        None => format!("{}\n", backend.name),
        Some(Peers { client, local, kind }) => format!("{} client={client} {kind}={local}\n", backend.name),
    }
}

/// The line, with a number before it, once a second without end.
fn lines(line: String) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + Sync + 'static {
    let interval = tokio::time::interval(STREAM_INTERVAL);
    stream::unfold(interval, |mut interval| async move {
        interval.tick().await;
        Some(((), interval))
    })
    .enumerate()
    .map(move |(number, ())| Ok(Frame::data(Bytes::from(format!("{} {line}", number + 1)))))
}

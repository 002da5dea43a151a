//! An HTTP/1.1 server within the limits of its connections.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _};

use crate::{Connection, ConnectionHandle, DeadlineBody, Listener, body::BoxError};

/// Time for responses to end after `shutdown`.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// The body of a request, which fails if it does not arrive in time.
pub type RequestBody = DeadlineBody<Incoming>;

/// Serves `service` until `shutdown`, and then waits up to 2 s for responses to end. Each request has a
/// [`ConnectionHandle`] in its extensions.
pub async fn serve_http<S, B>(listener: Listener, service: S, shutdown: CancellationToken)
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            connection = listener.accept() => drop(tasks.spawn(serve(connection, service.clone(), shutdown.clone()))),
            Some(_) = tasks.join_next() => {}
            () = shutdown.cancelled() => break,
        }
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

async fn serve<S, B>(connection: Connection, service: S, shutdown: CancellationToken)
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let handle = connection.handle().clone();
    let (limits, expires) = (handle.connections().limits().clone(), handle.expires());
    let service = service_fn(move |mut request: Request<Incoming>| {
        let progress = RequestProgress::start(handle.clone());
        request.extensions_mut().insert(handle.clone());
        let request = request.map(|body| DeadlineBody::new(body, Instant::now() + limits.body_timeout));
        let response = service.clone().oneshot(request);
        async move { response.await.map(|response| response.map(|body| ResponseBody { body, _progress: progress })) }
    });
    let limits = connection.handle().connections().limits().clone();
    // The connection has the deadline of headers itself. Hyper's would also end the time between two requests.
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_header_size(limits.max_header_bytes)
        .serve_connection(TokioIo::new(connection), service);
    let mut http = pin!(http);
    let grace = tokio::select! {
        _ = &mut http => return,
        () = shutdown.cancelled() => SHUTDOWN_TIMEOUT,
        () = sleep_until(expires) => limits.age_grace,
    };
    http.as_mut().graceful_shutdown();
    tokio::select! {
        _ = http => {}
        () = sleep(grace) => {}
    }
}

/// A request in progress, until its response has ended.
struct RequestProgress(ConnectionHandle);

impl RequestProgress {
    fn start(handle: ConnectionHandle) -> Self {
        handle.request_started();
        Self(handle)
    }
}

impl Drop for RequestProgress {
    fn drop(&mut self) {
        self.0.request_ended();
    }
}

/// The body of a response, which ends the request when it is dropped.
struct ResponseBody<B> {
    body: B,
    _progress: RequestProgress,
}

impl<B: Body + Unpin> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! Calls with large responses: few are written at the same time, so that callers that do not read cannot use up memory.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use futures::{FutureExt as _, future::BoxFuture, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use maglev_net::{ConnectionHandle, Slot, Slots};
use tonic::{Status, body::Body, server::NamedService};
use tower::Service;

use super::GrpcMetrics;

/// Methods whose responses grow with the number of objects.
const METHODS: [&str; 6] =
    ["GetState", "GetVppLbState", "GetVppLbCounters", "ListFrontends", "ListBackends", "ListHealthChecks"];

/// A service whose large responses need a slot while they are made and written.
#[derive(Clone)]
pub struct LargeCalls<S> {
    inner: S,
    slots: Slots,
    metrics: GrpcMetrics,
}

impl<S> LargeCalls<S> {
    pub fn new(inner: S, metrics: GrpcMetrics) -> Self {
        Self { inner, slots: Slots::for_large_responses(), metrics }
    }
}

impl<S: NamedService> NamedService for LargeCalls<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for LargeCalls<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next();
        let method = METHODS.into_iter().find(|large| method == Some(*large));
        let connection = request.extensions().get::<ConnectionHandle>().cloned();
        let (Some(method), Some(connection)) = (method, connection) else { return self.inner.call(request).boxed() };
        let Self { inner, slots, metrics } = self.clone();
        // The clone may not be ready; this service is.
        let mut inner = std::mem::replace(&mut self.inner, inner);
        async move {
            let Some(slot) = slots.acquire(connection.peer().ip()).await else {
                let status = Status::resource_exhausted("other large responses are being written; try again later");
                let refused = metrics.complete::<()>(method, Err(status.clone()));
                return Ok(refused.err().unwrap_or(status).into_http());
            };
            Ok(with_slot(inner.call(request).await?, slot, &connection).await)
        }
        .boxed()
    }
}

/// The response, which keeps the slot until it has been written.
async fn with_slot(response: Response<Body>, slot: Slot, connection: &ConnectionHandle) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let body = match body.collect().await {
        Ok(body) => body,
        Err(status) => return status.into_http(),
    };
    let trailers = body.trailers().cloned().map(Frame::trailers);
    let data = Some(body.to_bytes()).filter(|data| !data.is_empty());
    if data.is_none() && trailers.is_none() {
        // An error, whose status is in the headers.
        return Response::from_parts(parts, Body::empty());
    }
    let data = data.map(|data| Frame::data(slot.hold(data, connection)));
    let frames = data.into_iter().chain(trailers).map(Ok::<_, Infallible>);
    Response::from_parts(parts, Body::new(StreamBody::new(stream::iter(frames))))
}

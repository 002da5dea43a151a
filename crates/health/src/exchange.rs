//! One HTTP request and what is made of its response, over HTTP/1.1 or HTTP/2. Used by the HTTP and
//! gRPC probes.
//!
//! Nothing is spawned: a connection is driven by the probe that it belongs to and ends with it.

use std::{
    cell::RefCell, convert::Infallible, error::Error, fmt::Write as _, future::poll_fn, pin::pin, rc::Rc, task::Poll,
};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    client::conn::{http1, http2},
    rt::Executor,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use maglev_model::health::ProbeCode;

use super::prober::Outcome;

/// The most of a response that is held at once, head or body: probes are many, and so are servers
/// that send too much.
const BUFFER: usize = 64 * 1024;

/// Sends `request` over HTTP/1.1; `judge` gets the response.
///
/// # Errors
/// What `judge` says, or `L7RSP` where there is no response.
pub async fn over_http1<S, B>(
    stream: S,
    request: Request<B>,
    judge: impl AsyncFnOnce(Response<Incoming>) -> Result<Outcome, Outcome>,
) -> Result<Outcome, Outcome>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    B: Body<Data = Bytes, Error = Infallible> + 'static,
{
    let mut builder = http1::Builder::new();
    let (mut sender, connection) =
        builder.max_buf_size(BUFFER).handshake(TokioIo::new(stream)).await.map_err(invalid)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(invalid)?;
        judge(response).await
    };
    // The connection only has to be driven: whatever ends it, the answer tells.
    let drive = async {
        let _ = connection.await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        biased;
        answer = answer => answer,
        never = drive => match never {},
    }
}

/// Sends `request`, whose URI is absolute, over HTTP/2 without asking first whether the other end
/// speaks it; `judge` gets the response.
///
/// # Errors
/// What `judge` says, or `L7RSP` where there is no response.
pub async fn over_http2<S, B>(
    stream: S,
    request: Request<B>,
    judge: impl AsyncFnOnce(Response<Incoming>) -> Result<Outcome, Outcome>,
) -> Result<Outcome, Outcome>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Unpin + 'static,
{
    let tasks = Tasks::default();
    let window = u32::try_from(BUFFER).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(tasks.clone());
    builder.initial_stream_window_size(window).initial_connection_window_size(window);
    let handshake = builder.handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(invalid)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(invalid)?;
        judge(response).await
    };
    tokio::select! {
        biased;
        answer = answer => answer,
        never = tasks.drive(connection) => match never {},
    }
}

/// What hyper's HTTP/2 connection wants to have spawned.
#[derive(Clone, Default)]
struct Tasks(Rc<RefCell<Vec<LocalBoxFuture<'static, ()>>>>);

impl<F: Future<Output = ()> + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.borrow_mut().push(task.boxed_local());
    }
}

impl Tasks {
    /// Drives `connection` and what it spawns, for ever: whatever ends them, the answer tells.
    async fn drive<E>(&self, connection: impl Future<Output = Result<(), E>>) -> Infallible {
        let mut connection = pin!(connection.fuse());
        let mut running = FuturesUnordered::new();
        poll_fn(|context| {
            loop {
                let _ = connection.as_mut().poll(context);
                while let Poll::Ready(Some(())) = running.poll_next_unpin(context) {}
                let spawned = std::mem::take(&mut *self.0.borrow_mut());
                if spawned.is_empty() {
                    return Poll::Pending;
                }
                running.extend(spawned);
            }
        })
        .await
    }
}

/// What was received is no HTTP response.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub fn invalid(error: hyper::Error) -> Outcome {
    let mut detail = format!("no valid HTTP response: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(detail, ": {error}");
        source = error.source();
    }
    Outcome::answer(ProbeCode::L7Response, detail)
}

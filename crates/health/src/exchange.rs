//! One request over HTTP/2, and the evaluation of its response. Used by the HTTP and gRPC probes.
//!
//! Spawns no task: each probe drives its own connection, which ends together with the probe.

use std::{cell::RefCell, convert::Infallible, future::poll_fn, pin::pin, rc::Rc, task::Poll};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    client::conn::http2,
    rt::Executor,
};
use hyper_util::rt::TokioIo;
use maglev_net::error_chain;
use tokio::io::{AsyncRead, AsyncWrite};

use maglev_model::health::ProbeCode;

use super::prober::ProbeOutcome;

/// Window of one connection in bytes, which bounds the received part of a body. Bounds the memory of many
/// probes whose servers send too much.
const BUFFER_SIZE: usize = 64 * 1024;

/// Sends `request`, whose URI is absolute, over HTTP/2 with prior knowledge and passes the response to `evaluate`.
///
/// # Errors
/// The error of `evaluate`, or `L7RSP` without a response.
pub async fn over_http2<S, B>(
    stream: S,
    request: Request<B>,
    evaluate: impl AsyncFnOnce(Response<Incoming>) -> Result<ProbeOutcome, ProbeOutcome>,
) -> Result<ProbeOutcome, ProbeOutcome>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Unpin + 'static,
{
    let tasks = Tasks::default();
    let window = u32::try_from(BUFFER_SIZE).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(tasks.clone());
    builder.initial_stream_window_size(window).initial_connection_window_size(window);
    let handshake = builder.handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(invalid)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(invalid)?;
        evaluate(response).await
    };
    tokio::select! {
        biased;
        outcome = exchange => outcome,
        never = tasks.drive(connection) => match never {},
    }
}

/// The tasks that hyper's HTTP/2 connection spawns.
#[derive(Clone, Default)]
struct Tasks(Rc<RefCell<Vec<LocalBoxFuture<'static, ()>>>>);

impl<F: Future<Output = ()> + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.borrow_mut().push(task.boxed_local());
    }
}

impl Tasks {
    /// Drives `connection` and its tasks, and never returns: their errors also end the exchange.
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

/// The outcome of a response that is not valid HTTP.
#[expect(clippy::needless_pass_by_value, reason = "passed to map_err")]
pub fn invalid(error: hyper::Error) -> ProbeOutcome {
    let detail = format!("no valid HTTP response: {}", error_chain(&error));
    ProbeOutcome::completed(ProbeCode::L7Response, detail)
}

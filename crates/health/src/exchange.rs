//! Requests over HTTP/2, and the evaluation of their responses. Used by the HTTP and gRPC probes.
//!
//! Spawns no task: each probe drives its own connection.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures::{
    FutureExt, StreamExt,
    future::{Fuse, LocalBoxFuture},
    stream::FuturesUnordered,
};
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http2, rt::Executor};
use hyper_util::rt::TokioIo;
use maglev_net::error_chain;
use tokio::io::{AsyncRead, AsyncWrite};

use maglev_model::health::ProbeCode;

use super::prober::ProbeOutcome;

/// Window of one connection in bytes, which bounds the received part of a body. Bounds the memory of many
/// probes whose servers send too much.
const BUFFER_SIZE: usize = 64 * 1024;

/// An HTTP/2 connection to a server of which HTTP/2 is known (prior knowledge or ALPN). Makes progress only during
/// [`exchange`](Self::exchange) and [`is_open`](Self::is_open).
pub struct Http2 {
    sender: http2::SendRequest<Full<Bytes>>,
    driver: Driver,
}

impl Http2 {
    /// Begins a connection on `stream`.
    ///
    /// # Errors
    /// `L7RSP`.
    pub async fn new<S>(stream: S) -> Result<Self, ProbeOutcome>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let tasks = Tasks::default();
        let window = u32::try_from(BUFFER_SIZE).unwrap_or(u32::MAX);
        let mut builder = http2::Builder::new(tasks.clone());
        builder.initial_stream_window_size(window).initial_connection_window_size(window);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(invalid)?;
        let connection = connection.map(drop).boxed_local().fuse();
        Ok(Self { sender, driver: Driver { connection, tasks, running: FuturesUnordered::new() } })
    }

    /// Sends `request`, whose URI is absolute, and passes the response to `evaluate`.
    ///
    /// # Errors
    /// The error of `evaluate`, or `L7RSP` without a response.
    pub async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        evaluate: impl AsyncFnOnce(Response<Incoming>) -> Result<ProbeOutcome, ProbeOutcome>,
    ) -> Result<ProbeOutcome, ProbeOutcome> {
        let Self { sender, driver } = self;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(invalid)?;
            evaluate(response).await
        };
        tokio::select! {
            biased;
            outcome = exchange => outcome,
            never = driver.run() => match never {},
        }
    }

    /// True if another request can be sent. Handles what has arrived since, such as the end of the connection, and sends
    /// what is left to send, without waiting.
    pub fn is_open(&mut self) -> bool {
        self.driver.poll(&mut Context::from_waker(Waker::noop()));
        !self.sender.is_closed()
    }
}

/// Drives a connection and the tasks that hyper spawns for it. Their errors also end the exchange.
struct Driver {
    connection: Fuse<LocalBoxFuture<'static, ()>>,
    tasks: Tasks,
    running: FuturesUnordered<LocalBoxFuture<'static, ()>>,
}

impl Driver {
    async fn run(&mut self) -> Infallible {
        poll_fn(|context| {
            self.poll(context);
            Poll::Pending
        })
        .await
    }

    fn poll(&mut self, context: &mut Context<'_>) {
        loop {
            let _ = self.connection.poll_unpin(context);
            while let Poll::Ready(Some(())) = self.running.poll_next_unpin(context) {}
            let spawned = std::mem::take(&mut *self.tasks.0.borrow_mut());
            if spawned.is_empty() {
                return;
            }
            self.running.extend(spawned);
        }
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

/// The outcome of a response that is not valid HTTP.
#[expect(clippy::needless_pass_by_value, reason = "passed to map_err")]
pub fn invalid(error: hyper::Error) -> ProbeOutcome {
    let detail = format!("no valid HTTP response: {}", error_chain(&error));
    ProbeOutcome::completed(ProbeCode::L7Response, detail)
}

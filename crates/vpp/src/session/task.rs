//! The task that owns a session's socket: it writes queued requests, many frames at a time, and routes each reply to
//! the request with its context.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use futures::FutureExt;
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    task::coop,
    time::{Instant, sleep},
};

use super::{
    SessionOptions,
    dial::ApiStream,
    request_queue::{ExpectedMessage, PendingRequest, RequestQueue},
};
use crate::{
    error::{CloseReason, Error},
    frame,
    messages::{
        self, HeaderKind, KnownMessage,
        memclnt::{ControlPing, SockclntDelete},
    },
};

/// Limit of details of one dump: some 4,000 VIPs with 256 application servers each.
const MAX_DETAILS: usize = 1 << 20;

pub struct Task {
    stream: Box<dyn ApiStream>,
    input: BytesMut,
    output: BytesMut,
    /// Time of the last reply, or of sending the first request in flight.
    progress: Instant,
    unregister: BytesMut,
    queue: Arc<RequestQueue>,
    window: usize,
    deadline: Duration,
    /// The last field: the socket is closed before the end of the session is published.
    outstanding: Outstanding,
}

/// The requests in flight. Dropping them publishes the end of the session, however the task ends: by itself, by a panic,
/// or with its runtime.
struct Outstanding {
    queue: Arc<RequestQueue>,
    /// In the order of sending; contexts are consecutive.
    in_flight: VecDeque<PendingRequest>,
    /// Reason for the end.
    reason: CloseReason,
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.queue.finish(self.reason.clone(), std::mem::take(&mut self.in_flight));
    }
}

impl Task {
    pub fn new(
        stream: Box<dyn ApiStream>,
        input: BytesMut,
        unregister: BytesMut,
        queue: Arc<RequestQueue>,
        options: &SessionOptions,
    ) -> Self {
        Self {
            stream,
            input,
            output: BytesMut::new(),
            progress: Instant::now(),
            unregister,
            outstanding: Outstanding {
                queue: Arc::clone(&queue),
                in_flight: VecDeque::new(),
                reason: CloseReason::Local,
            },
            queue,
            window: options.window.max(1),
            deadline: options.deadline,
        }
    }

    /// Serves the session until it ends, then fails the outstanding requests.
    pub async fn run(mut self) {
        let reason = self.serve().await;
        if matches!(reason, CloseReason::Local) && self.output.is_empty() && !self.unregister.is_empty() {
            // Best effort: VPP also detects the closed socket.
            if let Some(Ok(_)) = self.stream.write(&self.unregister).now_or_never() {
                self.queue.observer.sent(KnownMessage::new::<SockclntDelete>());
            }
        }
        self.outstanding.reason = reason;
    }

    async fn serve(&mut self) -> CloseReason {
        // Bytes received together with the handshake.
        if let Err(reason) = self.dispatch_all() {
            return reason;
        }
        let queue = Arc::clone(&self.queue);
        let mut timer = pin!(sleep(self.deadline));
        loop {
            if let Err(reason) = self.take() {
                return reason;
            }
            let is_waiting = !self.outstanding.in_flight.is_empty();
            tokio::select! {
                biased;
                done = poll_fn(|context| self.poll_stream(context)) => if let Err(reason) = done {
                    return reason;
                },
                () = queue.wake.notified() => {}
                // The timer may expire for an earlier reply.
                () = &mut timer, if is_waiting => {
                    if self.progress.elapsed() >= self.deadline {
                        return CloseReason::Deadline(self.deadline);
                    }
                    timer.as_mut().reset(self.progress + self.deadline);
                }
            }
            coop::consume_budget().await;
        }
    }

    /// Sends the output, reads once, and dispatches all complete frames. Replies that arrived before the stream failed
    /// are still dispatched. Ready after a read, or when the session ends.
    fn poll_stream(&mut self, context: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        let written = self.poll_write(context);
        frame::make_room(&mut self.input);
        let read = pin!(self.stream.read_buf(&mut self.input)).poll(context);
        match read {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(CloseReason::Eof)),
            Poll::Ready(Ok(_)) => Poll::Ready(self.dispatch_all()),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Pending => written.map_or_else(|error| Poll::Ready(Err(error.into())), |()| Poll::Pending),
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while !self.output.is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, &self.output) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => self.output.advance(written?),
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Result<(), CloseReason> {
        let idle = self.outstanding.in_flight.is_empty();
        let before = self.outstanding.in_flight.len();
        let count = self.queue.take(self.window - before, &mut self.outstanding.in_flight, &mut self.output)?;
        if count > 0 && idle {
            self.progress = Instant::now();
        }
        for pending in self.outstanding.in_flight.range(before..) {
            self.queue.observer.sent(pending.expected.request);
            // The reply to a dump has no end marker of its own.
            if pending.expected.details.is_some() {
                self.queue.observer.sent(KnownMessage::new::<ControlPing>());
            }
        }
        Ok(())
    }

    fn dispatch_all(&mut self) -> Result<(), CloseReason> {
        while let Some(body) = frame::parse(&mut self.input).map_err(CloseReason::Frame)? {
            self.dispatch(body)?;
        }
        Ok(())
    }

    /// Routes one frame to its request; a frame that matches no request is counted.
    fn dispatch(&mut self, body: Bytes) -> Result<(), CloseReason> {
        let Some((index, last)) = self.find_request(&body) else {
            self.queue.ignore(messages::id(&body).unwrap_or_default());
            return Ok(());
        };
        self.progress = Instant::now();
        for unanswered in self.outstanding.in_flight.drain(..index) {
            self.queue.observer.unanswered(unanswered.expected.reply.message);
            let message = unanswered.expected.request.name;
            unanswered.fail(Error::Unanswered { message });
        }
        if last && let Some(pending) = self.outstanding.in_flight.pop_front() {
            self.queue.observer.received(pending.expected.reply.message, messages::retval(&body));
            pending.complete(body);
        } else if let Some(pending) = self.outstanding.in_flight.front_mut() {
            let Some(ExpectedMessage { message, .. }) = pending.expected.details else { return Ok(()) };
            self.queue.observer.received(message, None);
            if pending.details.len() == MAX_DETAILS {
                return Err(CloseReason::Endless { message: message.name, limit: MAX_DETAILS });
            }
            pending.details.push(body);
        }
        Ok(())
    }

    /// Index of the request in flight that the frame replies to, and true if the frame completes the reply.
    fn find_request(&self, body: &[u8]) -> Option<(usize, bool)> {
        let envelope = messages::peek(body, HeaderKind::Reply).ok()?;
        // Contexts are consecutive, so the distance is the index; the distance of a late reply is huge.
        let distance = envelope.context.wrapping_sub(self.outstanding.in_flight.front()?.context);
        let index = usize::try_from(distance).ok()?;
        let expected = self.outstanding.in_flight.get(index)?.expected;
        let last = expected.reply.id == envelope.id;
        let detail = expected.details.is_some_and(|details| details.id == envelope.id);
        (last || detail).then_some((index, last))
    }
}

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
    request_queue::{ExpectedMessage, PendingRequest, RequestQueue, Sink},
};
use crate::{
    codec::CodecError,
    error::{CloseReason, Error},
    frame,
    messages::{
        self, HeaderKind, KnownMessage,
        memclnt::{ControlPing, SockclntDelete},
        vlib,
    },
};

/// Limit of details of one dump: some 4,000 VIPs with 256 application servers each.
const MAX_DETAILS: usize = 1 << 20;

pub struct Task {
    stream: Box<dyn ApiStream>,
    input: BytesMut,
    output: BytesMut,
    /// The text that arrives, of the first request in flight.
    text: Option<ArrivingText>,
    /// Time of the last reply or part of one, or of sending the first request in flight.
    progress: Instant,
    unregister: BytesMut,
    queue: Arc<RequestQueue>,
    window: usize,
    deadline: Duration,
    /// The last field: the socket is closed before the end of the session is published.
    outstanding: Outstanding,
}

/// A text that is passed on while its frame arrives.
struct ArrivingText {
    /// The body up to the text.
    head: Bytes,
    /// Bytes that have not arrived.
    missing: usize,
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
            text: None,
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
        while self.pass_text_on() {
            match frame::parse(&mut self.input).map_err(CloseReason::Frame)? {
                Some(body) => self.dispatch(&body)?,
                None if self.begin_text() => {}
                None => break,
            }
        }
        Ok(())
    }

    /// Begins to pass on the text of a long frame that is not complete. Returns false if the input has none.
    fn begin_text(&mut self) -> bool {
        let Some((head, length)) = frame::begin_of_long(&self.input, vlib::BEFORE_TEXT) else { return false };
        let Some((index, true)) = self.find_request(head) else { return false };
        let has_sink = |pending: &PendingRequest| matches!(pending.sink, Sink::Text(_));
        // A frame of another length is refused when it is complete.
        let Ok(missing) = vlib::text_length(head, length) else { return false };
        if !self.outstanding.in_flight.get(index).is_some_and(has_sink) {
            return false;
        }
        self.fail_unanswered(index);
        self.input.advance(frame::HEADER);
        let head = Bytes::copy_from_slice(&self.input.split_to(vlib::BEFORE_TEXT));
        self.text = Some(ArrivingText { head, missing });
        true
    }

    /// Passes on the received part of a text. Returns false while more of it is missing.
    fn pass_text_on(&mut self) -> bool {
        let Some(text) = &mut self.text else { return true };
        let count = text.missing.min(self.input.len());
        if messages::retval(&text.head) == Some(0)
            && let Some(PendingRequest { sink: Sink::Text(sink), .. }) = self.outstanding.in_flight.front_mut()
        {
            sink(&self.input[..count]);
        }
        self.input.advance(count);
        text.missing -= count;
        if count > 0 {
            self.progress = Instant::now();
        }
        if text.missing > 0 {
            return false;
        }
        if let (Some(ArrivingText { head, .. }), Some(pending)) =
            (self.text.take(), self.outstanding.in_flight.pop_front())
        {
            self.complete(pending, head);
        }
        true
    }

    /// Routes one frame to its request; a frame that matches no request is counted.
    fn dispatch(&mut self, body: &Bytes) -> Result<(), CloseReason> {
        let Some((index, last)) = self.find_request(body) else {
            self.queue.ignore(messages::id(body).unwrap_or_default());
            return Ok(());
        };
        self.progress = Instant::now();
        self.fail_unanswered(index);
        if last {
            let Some(mut pending) = self.outstanding.in_flight.pop_front() else { return Ok(()) };
            return match take_text(&mut pending.sink, body) {
                Ok(text) => {
                    self.complete(pending, body.slice(..body.len() - text));
                    Ok(())
                }
                Err(error) => {
                    let message = pending.expected.reply.message;
                    self.queue.observer.received(message, None);
                    Err(malformed(pending, message, error))
                }
            };
        }
        let Some(pending) = self.outstanding.in_flight.front_mut() else { return Ok(()) };
        let Some(ExpectedMessage { message, .. }) = pending.expected.details else { return Ok(()) };
        self.queue.observer.received(message, None);
        pending.details += 1;
        if pending.details > MAX_DETAILS {
            return Err(CloseReason::Endless { message: message.name, limit: MAX_DETAILS });
        }
        let taken = match &mut pending.sink {
            Sink::Details(sink) => sink(body),
            Sink::None | Sink::Text(_) => Ok(()),
        };
        let Err(error) = taken else { return Ok(()) };
        let Some(pending) = self.outstanding.in_flight.pop_front() else { return Ok(()) };
        self.queue.observer.unanswered(pending.expected.reply.message);
        Err(malformed(pending, message, error))
    }

    fn complete(&self, pending: PendingRequest, reply: Bytes) {
        self.queue.observer.received(pending.expected.reply.message, messages::retval(&reply));
        pending.complete(reply);
    }

    /// Fails the requests before the one at `index`, which VPP replies to: VPP replies in order.
    fn fail_unanswered(&mut self, index: usize) {
        for unanswered in self.outstanding.in_flight.drain(..index) {
            self.queue.observer.unanswered(unanswered.expected.reply.message);
            let message = unanswered.expected.request.name;
            unanswered.fail(Error::Unanswered { message });
        }
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

/// Passes the text of a complete frame to a sink of texts, unless the command failed. Returns the length of the text.
fn take_text(sink: &mut Sink, body: &[u8]) -> Result<usize, CodecError> {
    let Sink::Text(sink) = sink else { return Ok(0) };
    let length = vlib::text_length(body, body.len())?;
    if messages::retval(body) == Some(0) {
        sink(&body[body.len() - length..]);
    }
    Ok(length)
}

/// Fails the request whose reply cannot be decoded. Returns the reason for the end of the session.
fn malformed(pending: PendingRequest, message: KnownMessage, error: CodecError) -> CloseReason {
    pending.fail(Error::Malformed { message: message.name, source: error.clone() });
    CloseReason::Malformed { message: message.name, error }
}

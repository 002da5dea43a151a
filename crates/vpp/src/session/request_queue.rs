//! The queue of encoded requests, shared by the handles and the task of a session.

use std::{
    collections::VecDeque,
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot, watch};

use super::message_observer::MessageObserver;
use crate::{
    codec::CodecError,
    error::{CloseReason, Error},
    messages::KnownMessage,
};

/// Takes the body of a details message.
type TakeDetails = Box<dyn FnMut(&[u8]) -> Result<(), CodecError> + Send>;
/// Takes a piece of a text.
type TakeText = Box<dyn FnMut(&[u8]) + Send>;

/// Takes the content of a reply while it arrives: a dump of VPP, or its text, may have hundreds of thousands of lines. Runs in
/// the session's task.
pub enum Sink {
    /// The reply is a message without details.
    None,
    /// Takes the body of each details message.
    Details(TakeDetails),
    /// Takes the text of a [`CliInbandReply`](crate::messages::vlib::CliInbandReply) of a successful command, cut anywhere.
    Text(TakeText),
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Details(_) => "Details",
            Self::Text(_) => "Text",
        })
    }
}

/// A message that VPP is expected to send, with its id on this session.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedMessage {
    pub message: KnownMessage,
    pub id: u16,
}

/// A request and the messages that reply to it.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedReply {
    pub request: KnownMessage,
    /// The last message of the reply.
    pub reply: ExpectedMessage,
    /// The messages that may precede it.
    pub details: Option<ExpectedMessage>,
}

/// A request that waits for the window or for its reply.
#[derive(Debug)]
pub struct PendingRequest {
    pub context: u32,
    pub expected: ExpectedReply,
    pub sink: Sink,
    /// Number of details received.
    pub details: usize,
    /// Size of the request's frames in bytes.
    pub bytes: usize,
    reply_tx: oneshot::Sender<Result<Bytes, Error>>,
}

impl PendingRequest {
    /// Completes the request with the body of the last message. That of a text has no text any more.
    pub fn complete(self, reply: Bytes) {
        drop(self.sink);
        // The caller may have dropped the future; the request was executed nevertheless.
        let _ = self.reply_tx.send(Ok(reply));
    }

    pub fn fail(self, error: Error) {
        let _ = self.reply_tx.send(Err(error));
    }
}

#[derive(Debug, Default)]
struct Queue {
    /// The frames of all waiting requests, concatenated.
    frames: BytesMut,
    waiting: VecDeque<PendingRequest>,
    last_context: u32,
    /// Set once no more requests are accepted.
    closed: Option<CloseReason>,
}

#[derive(Debug)]
pub struct RequestQueue {
    queue: Mutex<Queue>,
    limit: usize,
    /// Notified when the queue becomes non-empty or is closed.
    pub wake: Notify,
    /// `Some` once the task has ended.
    pub closed: watch::Sender<Option<CloseReason>>,
    pub observer: MessageObserver,
    ignored: AtomicU64,
}

impl RequestQueue {
    pub fn new(limit: usize, observer: MessageObserver) -> Self {
        Self {
            queue: Mutex::default(),
            limit,
            wake: Notify::new(),
            closed: watch::Sender::new(None),
            observer,
            ignored: AtomicU64::new(0),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // No code that holds the lock can leave the queue half changed.
        self.queue.lock()
    }

    /// Queues the frames that `write` appends for the given context.
    pub fn enqueue(
        &self,
        expected: ExpectedReply,
        sink: Sink,
        write: impl FnOnce(u32, &mut BytesMut),
    ) -> Result<oneshot::Receiver<Result<Bytes, Error>>, Error> {
        let (mut queue, message) = (self.queue(), expected.request.name);
        if let Some(reason) = &queue.closed {
            self.observer.unsent(expected.request);
            return Err(Error::Closed { message, reason: reason.clone() });
        }
        if queue.waiting.len() >= self.limit {
            self.observer.unsent(expected.request);
            return Err(Error::QueueFull { message, limit: self.limit });
        }
        let context = queue.last_context.wrapping_add(1);
        queue.last_context = context;
        let before = queue.frames.len();
        write(context, &mut queue.frames);
        let bytes = queue.frames.len() - before;
        let (reply_tx, reply_rx) = oneshot::channel();
        queue.waiting.push_back(PendingRequest { context, expected, sink, details: 0, bytes, reply_tx });
        // With more than one request waiting, the task was already notified, or takes them when the window opens.
        let first = queue.waiting.len() == 1;
        drop(queue);
        if first {
            self.wake.notify_one();
        }
        Ok(reply_rx)
    }

    /// Moves up to `room` requests from the queue to `in_flight`, and their frames to `out`.
    pub fn take(
        &self,
        room: usize,
        in_flight: &mut VecDeque<PendingRequest>,
        out: &mut BytesMut,
    ) -> Result<usize, CloseReason> {
        let mut queue = self.queue();
        if let Some(reason) = &queue.closed {
            return Err(reason.clone());
        }
        let count = room.min(queue.waiting.len());
        let bytes = queue.waiting.iter().take(count).map(|pending| pending.bytes).sum();
        let frames = queue.frames.split_to(bytes);
        in_flight.extend(queue.waiting.drain(..count));
        drop(queue);
        if out.is_empty() {
            *out = frames;
        } else {
            out.extend_from_slice(&frames);
        }
        Ok(count)
    }

    /// Accepts no more requests; the task ends with `reason`, unless the queue was closed before.
    pub fn close(&self, reason: CloseReason) {
        self.queue().closed.get_or_insert(reason);
        self.wake.notify_one();
    }

    /// Fails all outstanding requests, and publishes the end of the session.
    pub fn finish(&self, reason: CloseReason, in_flight: VecDeque<PendingRequest>) {
        let mut queue = self.queue();
        let reason = queue.closed.get_or_insert(reason).clone();
        let waiting = std::mem::take(&mut queue.waiting);
        queue.frames = BytesMut::new();
        drop(queue);
        in_flight.iter().for_each(|pending| self.observer.unanswered(pending.expected.reply.message));
        waiting.iter().for_each(|pending| self.observer.unsent(pending.expected.request));
        for pending in in_flight.into_iter().chain(waiting) {
            let message = pending.expected.request.name;
            pending.fail(Error::Closed { message, reason: reason.clone() });
        }
        self.closed.send_replace(Some(reason));
    }

    /// Counts a frame that matches no request.
    pub fn ignore(&self, id: u16) {
        self.ignored.fetch_add(1, Ordering::Relaxed);
        self.observer.metrics.ignore();
        tracing::debug!(id, "frame from VPP matches no request");
    }

    pub fn ignored(&self) -> u64 {
        self.ignored.load(Ordering::Relaxed)
    }
}

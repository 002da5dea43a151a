//! What the handles and the task of a session share: the queue of encoded requests.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, oneshot, watch};

use super::witness::Witness;
use crate::{
    error::{CloseReason, Error},
    messages::Known,
};

/// The bodies of the frames that answered a request.
#[derive(Debug)]
pub struct Answer {
    pub reply: Bytes,
    pub details: Vec<Bytes>,
}

/// A message that VPP is to send, by the id it has here.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    pub message: Known,
    pub id: u16,
}

/// What a request is called and what answers it.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    pub request: Known,
    /// The last frame of the answer.
    pub reply: Expected,
    /// Frames that may come before it.
    pub details: Option<Expected>,
}

/// A request that waits for the window or for its answer.
#[derive(Debug)]
pub struct Waiter {
    pub context: u32,
    pub ticket: Ticket,
    pub details: Vec<Bytes>,
    /// Bytes of its frames.
    pub bytes: usize,
    answer: oneshot::Sender<Result<Answer, Error>>,
}

impl Waiter {
    pub fn answer(self, reply: Bytes) {
        // Nobody waits for an answer whose future was dropped; VPP did it all the same.
        let _ = self.answer.send(Ok(Answer { reply, details: self.details }));
    }

    pub fn fail(self, error: Error) {
        let _ = self.answer.send(Err(error));
    }
}

#[derive(Debug, Default)]
struct Queue {
    /// The frames of all that wait, one after the other.
    frames: BytesMut,
    waiting: VecDeque<Waiter>,
    last_context: u32,
    /// Nothing is taken any more.
    closed: Option<CloseReason>,
}

/// See the file's head.
#[derive(Debug)]
pub struct Shared {
    queue: Mutex<Queue>,
    limit: usize,
    /// Told when the queue is no longer empty, or is closed.
    pub wake: Notify,
    /// `Some` once the task has ended.
    pub closed: watch::Sender<Option<CloseReason>>,
    pub witness: Witness,
    ignored: AtomicU64,
}

impl Shared {
    pub fn new(limit: usize, witness: Witness) -> Self {
        Self {
            queue: Mutex::default(),
            limit,
            wake: Notify::new(),
            closed: watch::Sender::new(None),
            witness,
            ignored: AtomicU64::new(0),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // No code that holds the lock can leave the queue half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues the frames that `write` appends for the context it is given.
    pub fn enqueue(
        &self,
        ticket: Ticket,
        write: impl FnOnce(u32, &mut BytesMut),
    ) -> Result<oneshot::Receiver<Result<Answer, Error>>, Error> {
        let (mut queue, message) = (self.queue(), ticket.request.name);
        if let Some(reason) = &queue.closed {
            self.witness.unsent(ticket.request);
            return Err(Error::Closed { message, reason: reason.clone() });
        }
        if queue.waiting.len() >= self.limit {
            self.witness.unsent(ticket.request);
            return Err(Error::QueueFull { message, limit: self.limit });
        }
        let context = queue.last_context.wrapping_add(1);
        queue.last_context = context;
        let before = queue.frames.len();
        write(context, &mut queue.frames);
        let bytes = queue.frames.len() - before;
        let (answer, answer_rx) = oneshot::channel();
        queue.waiting.push_back(Waiter { context, ticket, details: Vec::new(), bytes, answer });
        // With more than one waiting, the task has been told or looks again when the window opens.
        let first = queue.waiting.len() == 1;
        drop(queue);
        if first {
            self.wake.notify_one();
        }
        Ok(answer_rx)
    }

    /// Moves up to `room` requests from the queue to `in_flight`, and their frames to `out`.
    pub fn take(
        &self,
        room: usize,
        in_flight: &mut VecDeque<Waiter>,
        out: &mut BytesMut,
    ) -> Result<usize, CloseReason> {
        let mut queue = self.queue();
        if let Some(reason) = &queue.closed {
            return Err(reason.clone());
        }
        let count = room.min(queue.waiting.len());
        let bytes = queue.waiting.iter().take(count).map(|waiter| waiter.bytes).sum();
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

    /// Takes no more requests; the task ends for `reason`, unless there was one before.
    pub fn close(&self, reason: CloseReason) {
        self.queue().closed.get_or_insert(reason);
        self.wake.notify_one();
    }

    /// Fails everything that waits, and tells who asked that the session has ended.
    pub fn finish(&self, reason: CloseReason, in_flight: VecDeque<Waiter>) {
        let mut queue = self.queue();
        let reason = queue.closed.get_or_insert(reason).clone();
        let waiting = std::mem::take(&mut queue.waiting);
        queue.frames = BytesMut::new();
        drop(queue);
        in_flight.iter().for_each(|waiter| self.witness.unanswered(waiter.ticket.reply.message));
        waiting.iter().for_each(|waiter| self.witness.unsent(waiter.ticket.request));
        for waiter in in_flight.into_iter().chain(waiting) {
            let message = waiter.ticket.request.name;
            waiter.fail(Error::Closed { message, reason: reason.clone() });
        }
        self.closed.send_replace(Some(reason));
    }

    /// Counts a frame that answers nothing.
    pub fn ignore(&self, id: u16) {
        self.ignored.fetch_add(1, Ordering::Relaxed);
        self.witness.metrics.ignore();
        tracing::debug!(id, "a frame from VPP that answers nothing");
    }

    pub fn ignored(&self) -> u64 {
        self.ignored.load(Ordering::Relaxed)
    }
}

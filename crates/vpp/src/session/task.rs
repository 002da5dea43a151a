//! The task that owns a session's socket: it writes what is queued, many frames at a time, and hands
//! each answer to whoever waits for its context.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::Interest,
    net::UnixStream,
    task::coop,
    time::{Instant, sleep},
};

use super::{
    SessionOptions,
    shared::{Expected, Shared, Waiter},
};
use crate::{
    error::{CloseReason, Error},
    frame,
    messages::{
        self, Head, Known,
        memclnt::{ControlPing, SockclntDelete},
    },
};

/// Details of one dump that are taken: some 4,000 VIPs with 256 application servers each.
const MAX_DETAILS: usize = 1 << 20;

/// See the file's head.
pub struct Task {
    stream: UnixStream,
    input: BytesMut,
    output: BytesMut,
    /// In the order they were sent; contexts are consecutive.
    in_flight: VecDeque<Waiter>,
    /// When the last answer came, or the first request of those in flight was sent.
    progress: Instant,
    farewell: BytesMut,
    shared: Arc<Shared>,
    window: usize,
    deadline: Duration,
}

impl Task {
    pub fn new(
        stream: UnixStream,
        input: BytesMut,
        farewell: BytesMut,
        shared: Arc<Shared>,
        options: &SessionOptions,
    ) -> Self {
        Self {
            stream,
            input,
            output: BytesMut::new(),
            in_flight: VecDeque::new(),
            progress: Instant::now(),
            farewell,
            shared,
            window: options.window.max(1),
            deadline: options.deadline,
        }
    }

    /// Serves until the session ends, then fails what is left.
    pub async fn run(mut self) {
        let reason = self.serve().await;
        if matches!(reason, CloseReason::Local) && self.output.is_empty() && !self.farewell.is_empty() {
            // Best effort: VPP notices the closed socket as well.
            if self.stream.try_write(&self.farewell).is_ok() {
                self.shared.witness.sent(Known::of::<SockclntDelete>());
            }
        }
        let Self { stream, shared, in_flight, .. } = self;
        drop(stream);
        shared.finish(reason, in_flight);
    }

    async fn serve(&mut self) -> CloseReason {
        // Bytes that came together with the handshake's.
        if let Err(reason) = self.dispatch_all() {
            return reason;
        }
        let mut timer = std::pin::pin!(sleep(self.deadline));
        loop {
            if let Err(reason) = self.step() {
                return reason;
            }
            let interest =
                if self.output.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
            tokio::select! {
                biased;
                ready = self.stream.ready(interest) => if let Err(error) = ready {
                    return error.into();
                },
                () = self.shared.wake.notified() => {}
                // It rings at some earlier answer's deadline: the next step looks at the last one's.
                () = &mut timer, if !self.in_flight.is_empty() => timer.as_mut().reset(self.progress + self.deadline),
            }
            coop::consume_budget().await;
        }
    }

    /// One round without waiting: read, then send what the window allows.
    fn step(&mut self) -> Result<(), CloseReason> {
        self.read()?;
        if !self.in_flight.is_empty() && self.progress.elapsed() >= self.deadline {
            return Err(CloseReason::Deadline(self.deadline));
        }
        self.take()?;
        self.write()
    }

    fn take(&mut self) -> Result<(), CloseReason> {
        let idle = self.in_flight.is_empty();
        let before = self.in_flight.len();
        let count = self.shared.take(self.window - before, &mut self.in_flight, &mut self.output)?;
        if count > 0 && idle {
            self.progress = Instant::now();
        }
        for waiter in self.in_flight.range(before..) {
            self.shared.witness.sent(waiter.ticket.request);
            // Its answer has no end of its own.
            if waiter.ticket.details.is_some() {
                self.shared.witness.sent(Known::of::<ControlPing>());
            }
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), CloseReason> {
        while !self.output.is_empty() {
            match self.stream.try_write(&self.output) {
                Ok(written) => self.output.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// One read, and all frames that it completes. What is left in the socket makes it ready again.
    fn read(&mut self) -> Result<(), CloseReason> {
        frame::make_room(&mut self.input);
        match self.stream.try_read_buf(&mut self.input) {
            Ok(0) => Err(CloseReason::Eof),
            Ok(_) => self.dispatch_all(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn dispatch_all(&mut self) -> Result<(), CloseReason> {
        while let Some(body) = frame::parse(&mut self.input).map_err(CloseReason::Frame)? {
            self.dispatch(body)?;
        }
        Ok(())
    }

    /// Hands one frame to the request it answers; one that answers none is counted.
    fn dispatch(&mut self, body: Bytes) -> Result<(), CloseReason> {
        let Some((index, last)) = self.find(&body) else {
            self.shared.ignore(messages::id(&body).unwrap_or_default());
            return Ok(());
        };
        self.progress = Instant::now();
        for dropped in self.in_flight.drain(..index) {
            self.shared.witness.unanswered(dropped.ticket.reply.message);
            let message = dropped.ticket.request.name;
            dropped.fail(Error::Swallowed { message });
        }
        if last && let Some(waiter) = self.in_flight.pop_front() {
            self.shared.witness.received(waiter.ticket.reply.message, messages::retval(&body));
            waiter.answer(body);
        } else if let Some(waiter) = self.in_flight.front_mut() {
            let Some(Expected { message, .. }) = waiter.ticket.details else { return Ok(()) };
            self.shared.witness.received(message, None);
            if waiter.details.len() == MAX_DETAILS {
                return Err(CloseReason::Endless { message: message.name, limit: MAX_DETAILS });
            }
            waiter.details.push(body);
        }
        Ok(())
    }

    /// Which request in flight the frame answers, and whether that is the end of the answer.
    fn find(&self, body: &[u8]) -> Option<(usize, bool)> {
        let envelope = messages::peek(body, Head::Reply).ok()?;
        // Contexts are consecutive, so the distance is the index; of a late answer it is huge.
        let distance = envelope.context.wrapping_sub(self.in_flight.front()?.context);
        let index = usize::try_from(distance).ok()?;
        let ticket = self.in_flight.get(index)?.ticket;
        let last = ticket.reply.id == envelope.id;
        let detail = ticket.details.is_some_and(|details| details.id == envelope.id);
        (last || detail).then_some((index, last))
    }
}

//! A session with VPP: one socket, many requests in flight.
//!
//! ```text
//!   call() ──▶ queue of encoded frames ──▶ task: window ──▶ socket ──▶ VPP
//!     ▲  (in the order of the calls)         │                          │
//!     └───────────── oneshot ◀── by context ─┴──────◀── socket ◀────────┘
//! ```
//!
//! * **Owner**: one task owns the socket; a [`Session`] is a cheap handle to its queue.
//! * **Start**: [`Session::connect`] performs the handshake and looks up every message by name *and* CRC.
//! * **Order**: a call is queued when it is made, not when its future is first polled. VPP replies in
//!   order, so a reply to a later request means that VPP dropped the earlier request: only that call
//!   fails. A window limits the requests in flight. It holds a request for each of a thousand VIPs, so
//!   that a request for one VIP need not wait for VPP's reply about another.
//! * **Deadline**: starts with the last reply, or part of a long text, because VPP's main thread may be busy with earlier
//!   requests. An expired deadline ends the session.
//! * **End**: with a [`CloseReason`]; every outstanding call fails with it. A session does not reconnect: its
//!   owner must open a new one. Dropping the last handle closes the session.

mod dial;
mod id_table;
mod message_observer;
mod request_queue;
mod task;

use std::{fmt, path::Path, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::{
    io::AsyncWriteExt,
    sync::{oneshot, watch},
    time::timeout,
};

pub use self::{
    dial::{ApiStream, Dial},
    id_table::MissingMessage,
};
use self::{
    id_table::IdTable,
    message_observer::MessageObserver,
    request_queue::{ExpectedMessage, ExpectedReply, RequestQueue, Sink},
    task::Task,
};
use super::{
    codec::Text,
    error::{CloseReason, Error, HandshakeError},
    frame,
    messages::{
        self, Dump, Envelope, HeaderKind, KnownMessage, Message, Reply, Request,
        memclnt::{
            ControlPing, ControlPingReply, SOCKCLNT_CREATE, SOCKCLNT_CREATE_REPLY, SockclntCreate, SockclntCreateReply,
            SockclntDelete,
        },
        vlib::CliInband,
    },
    metrics::Metrics,
};
use maglev_model::event::Events;

/// Options of a session.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Client name in VPP's `show api clients`.
    pub client_name: String,
    /// Time without any reply after which a session with outstanding requests ends; also the timeout of the handshake.
    pub deadline: Duration,
    /// Limit of requests in flight, at least 1.
    pub window: usize,
    /// Limit of requests waiting for the window; further calls fail with [`Error::QueueFull`].
    pub queue: usize,
    /// Receives `vpp-api-send` and `vpp-api-recv`.
    pub events: Events,
    pub metrics: Metrics,
    /// Opens the stream to the API socket.
    pub dial: Dial,
}

impl SessionOptions {
    /// The options of maglevd: a deadline of 10 s, 1,024 requests in flight.
    pub fn new(client_name: &str, events: Events) -> Self {
        Self {
            client_name: client_name.to_owned(),
            deadline: Duration::from_secs(10),
            window: 1024,
            queue: 65_536,
            events,
            metrics: Metrics::default(),
            dial: Dial::default(),
        }
    }
}

/// A handle to a session; cheap to clone. Dropping the last handle closes the session.
#[derive(Clone)]
pub struct Session(Arc<Handle>);

struct Handle {
    queue: Arc<RequestQueue>,
    table: IdTable,
    client_index: u32,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.close(CloseReason::Local);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("client_index", &self.0.client_index).finish_non_exhaustive()
    }
}

impl Session {
    /// Connects to the API socket at `path` and starts the task that owns the session. Requires a Tokio runtime with
    /// time, and with I/O for a Unix socket.
    ///
    /// # Errors
    /// [`Error::Connect`] and [`Error::Handshake`]. Messages that this VPP lacks are not an error: see
    /// [`Session::missing`].
    pub async fn connect(path: &Path, options: SessionOptions) -> Result<Self, Error> {
        let mut stream = options
            .dial
            .open(path)
            .await
            .map_err(|source| Error::Connect { path: path.to_owned(), source: Arc::new(source) })?;
        let mut input = BytesMut::new();
        let observer = MessageObserver { events: options.events.clone(), metrics: options.metrics.clone() };
        let registration = handshake(&mut stream, &mut input, &options.client_name, &observer);
        let registration = timeout(options.deadline, registration)
            .await
            .unwrap_or(Err(HandshakeError::Deadline(options.deadline)))
            .inspect_err(|error| {
                if !matches!(error, HandshakeError::Refused(_)) {
                    observer.unanswered(KnownMessage::new::<SockclntCreateReply>());
                }
            })
            .map_err(|source| Error::Handshake { path: path.to_owned(), source })?;
        let table = IdTable::new(&registration.table);
        let queue = Arc::new(RequestQueue::new(options.queue, observer));
        let unregister = unregister(&table, registration.index);
        tokio::spawn(Task::new(stream, input, unregister, Arc::clone(&queue), &options).run());
        Ok(Self(Arc::new(Handle { queue, table, client_index: registration.index })))
    }

    /// Known messages that this VPP lacks or defines differently.
    pub fn missing(&self) -> &[MissingMessage] {
        self.0.table.missing()
    }

    /// True if this VPP has the message `M` with the expected CRC.
    pub fn supports<M: Message>(&self) -> bool {
        self.0.table.id::<M>().is_ok()
    }

    /// Queues `request` immediately; the future resolves to its reply.
    ///
    /// The future fails with [`Error::Refused`] if VPP replies with a `retval` other than 0, with [`Error::Unanswered`]
    /// if VPP replies to a later request first, with [`Error::Missing`] if this VPP lacks the message, and with
    /// [`Error::Closed`] if the session ends.
    pub fn call<R: Request>(&self, request: &R) -> impl Future<Output = Result<R::Reply, Error>> + Send + use<R> {
        let reply_rx = self.enqueue(request, Sink::None);
        let queue = Arc::clone(&self.0.queue);
        async move {
            let reply: R::Reply = decode(&queue, &receive(R::NAME, reply_rx).await?)?;
            match reply.retval() {
                0 => Ok(reply),
                retval => Err(Error::refused(R::NAME, retval)),
            }
        }
    }

    /// Queues a dump immediately, and a ping whose reply marks its end; the future resolves to all details, in VPP's
    /// order. Fails as [`Session::call`] does.
    pub fn dump<D: Dump>(&self, request: &D) -> impl Future<Output = Result<Vec<D::Details>, Error>> + Send + use<D>
    where
        D::Details: Send + 'static,
    {
        let details = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&details);
        let done = self.dump_each(request, move |message| into.lock().push(message));
        async move {
            done.await?;
            Ok(std::mem::take(&mut *details.lock()))
        }
    }

    /// The same, but each details message is passed to `each` when it arrives. `each` runs in the session's task, before
    /// anything of a later request.
    pub fn dump_each<D, E>(
        &self,
        request: &D,
        mut each: E,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<D, E>
    where
        D: Dump,
        E: FnMut(D::Details) + Send + 'static,
    {
        let sink = Sink::Details(Box::new(move |body| {
            let (_, details) = messages::decode(body)?;
            each(details);
            Ok(())
        }));
        let reply_rx = self.enqueue_dump(request, sink);
        let queue = Arc::clone(&self.0.queue);
        async move {
            let reply = receive(D::NAME, reply_rx).await?;
            let _: ControlPingReply = decode(&queue, &reply)?;
            Ok(())
        }
    }

    /// Queues a CLI command immediately; its output is passed to `each` as it arrives, cut anywhere. `each` runs in the
    /// session's task, before anything of a later request. Fails as [`Session::call`] does.
    pub fn cli_output<E: FnMut(&[u8]) + Send + 'static>(
        &self,
        command: &str,
        each: E,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<E> {
        let reply_rx = self.enqueue(&CliInband { cmd: command.to_owned() }, Sink::Text(Box::new(each)));
        async move {
            match messages::retval(&receive(CliInband::NAME, reply_rx).await?) {
                Some(0) | None => Ok(()),
                Some(retval) => Err(Error::refused(CliInband::NAME, retval)),
            }
        }
    }

    fn enqueue<R: Request>(&self, request: &R, sink: Sink) -> Result<ReplyReceiver, Error> {
        let id = self.0.table.id::<R>()?;
        let reply = self.expected_message::<R::Reply>()?;
        let expected = ExpectedReply { request: KnownMessage::new::<R>(), reply, details: None };
        self.0.queue.enqueue(expected, sink, |context, out| {
            messages::encode(self.envelope(id, context), request, out);
        })
    }

    fn enqueue_dump<D: Dump>(&self, request: &D, sink: Sink) -> Result<ReplyReceiver, Error> {
        let (id, ping) = (self.0.table.id::<D>()?, self.0.table.id::<ControlPing>()?);
        let details = Some(self.expected_message::<D::Details>()?);
        let reply = self.expected_message::<ControlPingReply>()?;
        let expected = ExpectedReply { request: KnownMessage::new::<D>(), reply, details };
        self.0.queue.enqueue(expected, sink, |context, out| {
            messages::encode(self.envelope(id, context), request, out);
            messages::encode(self.envelope(ping, context), &ControlPing {}, out);
        })
    }

    fn expected_message<M: Message>(&self) -> Result<ExpectedMessage, Error> {
        debug_assert_eq!(M::HEADER_KIND, HeaderKind::Reply, "replies are matched by their context");
        Ok(ExpectedMessage { message: KnownMessage::new::<M>(), id: self.0.table.id::<M>()? })
    }

    fn envelope(&self, id: u16, context: u32) -> Envelope {
        Envelope { id, client_index: self.0.client_index, context }
    }

    /// A future that resolves to the reason when the session has ended. The future does not keep the session open.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + use<> {
        let mut closed_rx = self.0.queue.closed.subscribe();
        async move { wait_closed(&mut closed_rx).await }
    }

    /// The reason for the end of the session; `None` while it is open.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.0.queue.closed.borrow().clone()
    }

    /// Ends the session now; outstanding calls fail with `reason`.
    pub fn close(&self, reason: CloseReason) {
        self.0.queue.close(reason);
    }

    /// Number of received frames that matched no request.
    pub fn ignored(&self) -> u64 {
        self.0.queue.ignored()
    }
}

async fn wait_closed(closed_rx: &mut watch::Receiver<Option<CloseReason>>) -> CloseReason {
    match closed_rx.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or(CloseReason::Local),
        // The task publishes the end before it drops the sender.
        Err(_) => CloseReason::Local,
    }
}

/// Receives the body of the last message of a reply.
type ReplyReceiver = oneshot::Receiver<Result<Bytes, Error>>;

async fn receive(message: &'static str, reply_rx: Result<ReplyReceiver, Error>) -> Result<Bytes, Error> {
    // The task fails each request before it drops the sender.
    reply_rx?.await.unwrap_or(Err(Error::Closed { message, reason: CloseReason::Local }))
}

fn decode<M: Message>(queue: &RequestQueue, body: &[u8]) -> Result<M, Error> {
    match messages::decode::<M>(body) {
        Ok((_, message)) => Ok(message),
        Err(error) => {
            queue.close(CloseReason::Malformed { message: M::NAME, error: error.clone() });
            Err(Error::Malformed { message: M::NAME, source: error })
        }
    }
}

async fn handshake(
    stream: &mut impl ApiStream,
    input: &mut BytesMut,
    client_name: &str,
    observer: &MessageObserver,
) -> Result<SockclntCreateReply, HandshakeError> {
    let mut out = BytesMut::new();
    let envelope = Envelope { id: SOCKCLNT_CREATE, client_index: 0, context: 0 };
    messages::encode(envelope, &SockclntCreate { name: Text::new(client_name) }, &mut out);
    observer.sent(KnownMessage::new::<SockclntCreate>());
    stream.write_all(&out).await?;
    loop {
        let body = frame::read(stream, input).await?.ok_or(HandshakeError::Ended)?;
        if messages::id(&body) != Some(SOCKCLNT_CREATE_REPLY) {
            continue;
        }
        let (_, reply) = messages::decode::<SockclntCreateReply>(&body)?;
        observer.received(KnownMessage::new::<SockclntCreateReply>(), Some(reply.response));
        return if reply.response == 0 { Ok(reply) } else { Err(HandshakeError::Refused(reply.response)) };
    }
}

/// The frame that unregisters the client; empty if this VPP lacks the message.
fn unregister(table: &IdTable, client_index: u32) -> BytesMut {
    let mut out = BytesMut::new();
    if let Ok(id) = table.id::<SockclntDelete>() {
        let envelope = Envelope { id, client_index, context: 0 };
        messages::encode(envelope, &SockclntDelete { index: client_index }, &mut out);
    }
    out
}

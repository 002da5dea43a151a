//! A session with VPP: one socket, many requests in flight.
//!
//! ```text
//!   call() ──▶ queue of encoded frames ──▶ task: window ──▶ socket ──▶ VPP
//!     ▲  (in the order of the calls)         │                          │
//!     └───────────── oneshot ◀── by context ─┴──────◀── socket ◀────────┘
//! ```
//!
//! * **Owner**: one task owns the socket; a [`Session`] is a cheap handle to its queue.
//! * **Start**: [`Session::connect`] shakes hands and looks up every message by name *and* CRC.
//! * **Order**: a call is queued when it is made, not when its future is first polled. VPP answers in
//!   order, so an answer to a later request means that VPP dropped the earlier one: that call alone
//!   fails. A window bounds what is in flight. It holds a request for each of a thousand VIPs, so that
//!   the work for one need not wait for VPP's answer about another.
//! * **Deadline**: runs from the last answer seen, because VPP's main thread may be busy with what
//!   was asked before. One that expires ends the session.
//! * **End**: by [`CloseReason`]; every call still open fails with it. A session never comes back:
//!   who owns it connects anew. Dropping the last handle closes it.

mod shared;
mod table;
mod task;
mod witness;

use std::{fmt, path::Path, sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::AsyncWriteExt,
    net::UnixStream,
    sync::{oneshot, watch},
    time::timeout,
};

pub use self::table::Missing;
use self::{
    shared::{Answer, Expected, Shared, Ticket},
    table::Table,
    task::Task,
    witness::Witness,
};
use super::{
    codec::Text,
    error::{CloseReason, Error, HandshakeError},
    frame,
    messages::{
        self, Dump, Envelope, Head, Known, Message, Reply, Request,
        memclnt::{
            ControlPing, ControlPingReply, SOCKCLNT_CREATE, SOCKCLNT_CREATE_REPLY, SockclntCreate, SockclntCreateReply,
            SockclntDelete,
        },
    },
    metrics::Metrics,
};
use maglev_model::event::Events;

/// How a session behaves.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Our name in VPP's `show api clients`.
    pub client_name: String,
    /// How long VPP may be silent while it owes an answer; also the longest handshake.
    pub deadline: Duration,
    /// Requests in flight at once, at least 1.
    pub window: usize,
    /// Requests that may wait for the window; further calls fail with [`Error::QueueFull`].
    pub queue: usize,
    /// Where `vpp-api-send` and `vpp-api-recv` go.
    pub events: Events,
    /// Where messages are counted.
    pub metrics: Metrics,
}

impl SessionOptions {
    /// What maglevd uses: 10 s, 1,024 in flight.
    pub fn new(client_name: &str, events: Events) -> Self {
        Self {
            client_name: client_name.to_owned(),
            deadline: Duration::from_secs(10),
            window: 1024,
            queue: 65_536,
            events,
            metrics: Metrics::default(),
        }
    }
}

/// A handle to a session. A clone is cheap; the last one dropped closes the session.
#[derive(Clone)]
pub struct Session(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    table: Table,
    client_index: u32,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close(CloseReason::Local);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("client_index", &self.0.client_index).finish_non_exhaustive()
    }
}

impl Session {
    /// Connects to the API socket at `path` and starts the task that owns the session. Needs a tokio
    /// runtime with I/O and time.
    ///
    /// # Errors
    /// [`Error::Connect`] and [`Error::Handshake`]. Messages that this VPP lacks are no error here:
    /// see [`Session::missing`].
    pub async fn connect(path: &Path, options: SessionOptions) -> Result<Self, Error> {
        let mut stream = UnixStream::connect(path)
            .await
            .map_err(|source| Error::Connect { path: path.to_owned(), source: Arc::new(source) })?;
        let mut input = BytesMut::new();
        let witness = Witness { events: options.events.clone(), metrics: options.metrics.clone() };
        let greeting = shake_hands(&mut stream, &mut input, &options.client_name, &witness);
        let greeting = timeout(options.deadline, greeting)
            .await
            .unwrap_or(Err(HandshakeError::Deadline(options.deadline)))
            .inspect_err(|error| {
                if !matches!(error, HandshakeError::Refused(_)) {
                    witness.unanswered(Known::of::<SockclntCreateReply>());
                }
            })
            .map_err(|source| Error::Handshake { path: path.to_owned(), source })?;
        let table = Table::new(&greeting.table);
        let shared = Arc::new(Shared::new(options.queue, witness));
        let farewell = farewell(&table, greeting.index);
        tokio::spawn(Task::new(stream, input, farewell, Arc::clone(&shared), &options).run());
        Ok(Self(Arc::new(Handle { shared, table, client_index: greeting.index })))
    }

    /// Messages known here that this VPP lacks, or defines otherwise.
    pub fn missing(&self) -> &[Missing] {
        self.0.table.missing()
    }

    /// Whether this VPP speaks `M` as it is known here.
    pub fn speaks<M: Message>(&self) -> bool {
        self.0.table.id::<M>().is_ok()
    }

    /// Queues `request` now; the future is its answer.
    ///
    /// The future fails with [`Error::Refused`] when VPP answers with a `retval` other than 0, with
    /// [`Error::Swallowed`] when VPP answers a later request first, with [`Error::Missing`] when this
    /// VPP does not speak the message, and with [`Error::Closed`] when the session ends.
    pub fn call<R: Request>(&self, request: &R) -> impl Future<Output = Result<R::Reply, Error>> + Send + use<R> {
        let answer = self.enqueue_call(request);
        let shared = Arc::clone(&self.0.shared);
        async move {
            let answer = received(R::NAME, answer).await?;
            let reply: R::Reply = decode(&shared, &answer.reply)?;
            match reply.retval() {
                0 => Ok(reply),
                retval => Err(Error::refused(R::NAME, retval)),
            }
        }
    }

    /// Queues a dump now, and a ping whose answer marks its end; the future is all details, in VPP's
    /// order. Fails as [`Session::call`] does.
    pub fn dump<D: Dump>(&self, request: &D) -> impl Future<Output = Result<Vec<D::Details>, Error>> + Send + use<D> {
        let answer = self.enqueue_dump(request);
        let shared = Arc::clone(&self.0.shared);
        async move {
            let answer = received(D::NAME, answer).await?;
            let _: ControlPingReply = decode(&shared, &answer.reply)?;
            answer.details.iter().map(|body| decode(&shared, body)).collect()
        }
    }

    fn enqueue_call<R: Request>(&self, request: &R) -> Result<oneshot::Receiver<Result<Answer, Error>>, Error> {
        let id = self.0.table.id::<R>()?;
        let reply = self.expected::<R::Reply>()?;
        self.0.shared.enqueue(Ticket { request: Known::of::<R>(), reply, details: None }, |context, out| {
            messages::encode(self.envelope(id, context), request, out);
        })
    }

    fn enqueue_dump<D: Dump>(&self, request: &D) -> Result<oneshot::Receiver<Result<Answer, Error>>, Error> {
        let (id, ping) = (self.0.table.id::<D>()?, self.0.table.id::<ControlPing>()?);
        let details = Some(self.expected::<D::Details>()?);
        let reply = self.expected::<ControlPingReply>()?;
        self.0.shared.enqueue(Ticket { request: Known::of::<D>(), reply, details }, |context, out| {
            messages::encode(self.envelope(id, context), request, out);
            messages::encode(self.envelope(ping, context), &ControlPing {}, out);
        })
    }

    fn expected<M: Message>(&self) -> Result<Expected, Error> {
        debug_assert_eq!(M::HEAD, Head::Reply, "answers are found by their context");
        Ok(Expected { message: Known::of::<M>(), id: self.0.table.id::<M>()? })
    }

    fn envelope(&self, id: u16, context: u32) -> Envelope {
        Envelope { id, client_index: self.0.client_index, context }
    }

    /// A future that resolves once the session has ended, with why. It does not keep it open.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + use<> {
        let mut closed_rx = self.0.shared.closed.subscribe();
        async move { wait_closed(&mut closed_rx).await }
    }

    /// Why the session has ended, if it has.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.0.shared.closed.borrow().clone()
    }

    /// Ends the session now; calls still open fail.
    pub fn close(&self) {
        self.0.shared.close(CloseReason::Local);
    }

    /// Frames that answered nothing we asked for and were left out.
    pub fn ignored(&self) -> u64 {
        self.0.shared.ignored()
    }
}

async fn wait_closed(closed_rx: &mut watch::Receiver<Option<CloseReason>>) -> CloseReason {
    match closed_rx.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or(CloseReason::Local),
        // The task is gone, and with it the runtime.
        Err(_) => CloseReason::Local,
    }
}

async fn received(
    message: &'static str,
    answer: Result<oneshot::Receiver<Result<Answer, Error>>, Error>,
) -> Result<Answer, Error> {
    // The sender is dropped unused only when the runtime, and the task with it, is torn down.
    answer?.await.unwrap_or(Err(Error::Closed { message, reason: CloseReason::Local }))
}

fn decode<M: Message>(shared: &Shared, body: &[u8]) -> Result<M, Error> {
    match messages::decode::<M>(body) {
        Ok((_, message)) => Ok(message),
        Err(error) => {
            shared.close(CloseReason::Malformed { message: M::NAME, error: error.clone() });
            Err(Error::Malformed { message: M::NAME, source: error })
        }
    }
}

async fn shake_hands(
    stream: &mut UnixStream,
    input: &mut BytesMut,
    client_name: &str,
    witness: &Witness,
) -> Result<SockclntCreateReply, HandshakeError> {
    let mut out = BytesMut::new();
    let envelope = Envelope { id: SOCKCLNT_CREATE, client_index: 0, context: 0 };
    messages::encode(envelope, &SockclntCreate { name: Text::new(client_name) }, &mut out);
    witness.sent(Known::of::<SockclntCreate>());
    stream.write_all(&out).await?;
    loop {
        let body = frame::read(stream, input).await?.ok_or(HandshakeError::Ended)?;
        if messages::id(&body) != Some(SOCKCLNT_CREATE_REPLY) {
            continue;
        }
        let (_, reply) = messages::decode::<SockclntCreateReply>(&body)?;
        witness.received(Known::of::<SockclntCreateReply>(), Some(reply.response));
        return if reply.response == 0 { Ok(reply) } else { Err(HandshakeError::Refused(reply.response)) };
    }
}

/// The frame that tells VPP we leave; empty where it has none.
fn farewell(table: &Table, client_index: u32) -> BytesMut {
    let mut out = BytesMut::new();
    if let Ok(id) = table.id::<SockclntDelete>() {
        let envelope = Envelope { id, client_index, context: 0 };
        messages::encode(envelope, &SockclntDelete { index: client_index }, &mut out);
    }
    out
}

//! A client that sends single messages to an API socket and reads the replies: it shares the codec with the session,
//! but none of its behavior.

use std::{collections::HashMap, path::Path, time::Duration};

use bytes::{Bytes, BytesMut};
use maglev_vpp::{
    codec::Text,
    frame,
    messages::{
        self, Dump, Envelope, Message, Request, Signature,
        memclnt::{ControlPing, SOCKCLNT_CREATE, SOCKCLNT_CREATE_REPLY, SockclntCreate, SockclntCreateReply},
    },
};
use tokio::{io::AsyncWriteExt, net::UnixStream, time::timeout};

/// Timeout of a test's waits.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A connection after the handshake.
pub struct RawClient {
    stream: UnixStream,
    inbox: BytesMut,
    ids: HashMap<String, u16>,
    /// The client index.
    pub index: u32,
    context: u32,
}

impl RawClient {
    /// Connects and performs the handshake.
    pub async fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).await.expect("the socket accepts connections");
        let mut client = Self { stream, inbox: BytesMut::new(), ids: HashMap::new(), index: 0, context: 0 };
        let mut out = BytesMut::new();
        let envelope = Envelope { id: SOCKCLNT_CREATE, ..Envelope::default() };
        messages::encode(envelope, &SockclntCreate { name: Text::new("raw") }, &mut out);
        client.send_bytes(&out).await;
        let (envelope, reply) = client.next::<SockclntCreateReply>().await;
        assert_eq!((envelope.id, reply.response), (SOCKCLNT_CREATE_REPLY, 0));
        client.index = reply.index;
        client.ids = reply.table.0.into_iter().map(|entry| (entry.name.as_str().to_owned(), entry.id)).collect();
        client
    }

    /// The message table: id by `<name>_<crc>`.
    pub fn ids(&self) -> &HashMap<String, u16> {
        &self.ids
    }

    /// The id of `M`.
    pub fn id<M: Message>(&self) -> u16 {
        self.ids[&Signature::new::<M>().table_name()]
    }

    /// Appends `request` to `out` as a frame and returns its context.
    pub fn encode<M: Message>(&mut self, request: &M, out: &mut BytesMut) -> u32 {
        self.context += 1;
        let envelope = Envelope { id: self.id::<M>(), client_index: self.index, context: self.context };
        messages::encode(envelope, request, out);
        self.context
    }

    /// Sends raw bytes.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("no timeout").expect("the server is connected");
    }

    /// Sends a request without waiting for the reply.
    pub async fn send<M: Message>(&mut self, request: &M) -> u32 {
        let mut out = BytesMut::new();
        let context = self.encode(request, &mut out);
        self.send_bytes(&out).await;
        context
    }

    /// The body of the next frame; `None` if the server closed the connection.
    pub async fn body(&mut self) -> Option<Bytes> {
        let read = frame::read(&mut self.stream, &mut self.inbox);
        timeout(PATIENCE, read).await.expect("no timeout").unwrap_or(None)
    }

    /// The next frame, which must be an `M`.
    pub async fn next<M: Message>(&mut self) -> (Envelope, M) {
        let body = self.body().await.expect("the server has not closed");
        messages::decode(&body).unwrap_or_else(|error| panic!("{} expected: {error}", M::NAME))
    }

    /// Sends a request and returns its reply.
    pub async fn call<R: Request>(&mut self, request: R) -> R::Reply {
        let context = self.send(&request).await;
        let (envelope, reply) = self.next::<R::Reply>().await;
        assert_eq!((envelope.id, envelope.context), (self.id::<R::Reply>(), context));
        reply
    }

    /// Sends a dump and a ping, and returns the details before the ping's reply.
    pub async fn dump<D: Dump>(&mut self, request: D) -> Vec<D::Details> {
        self.send(&request).await;
        self.send(&ControlPing {}).await;
        let mut details = Vec::new();
        loop {
            let body = self.body().await.expect("the server has not closed");
            if body[..2] != self.id::<D::Details>().to_be_bytes() {
                return details;
            }
            details.push(messages::decode(&body).expect("details of the dump").1);
        }
    }
}

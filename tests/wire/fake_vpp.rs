//! A scripted peer for a session: it sends recorded or invalid frames. The simulator behaves like VPP; this peer has no
//! behavior of its own.

use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use maglev_model::event::Events;
use maglev_vpp::{
    codec::Text,
    frame,
    messages::{
        self, Envelope, HeaderKind, KNOWN_MESSAGES, Message,
        memclnt::{
            MessageTable, SOCKCLNT_CREATE, SOCKCLNT_CREATE_REPLY, SockclntCreate, SockclntCreateReply, TableEntry,
        },
    },
    session::{Session, SessionOptions},
};
use tokio::{
    io::AsyncWriteExt,
    net::{UnixListener, UnixStream},
};

pub const CLIENT_INDEX: u32 = 0x8000_0001;

/// A listening API socket in its own directory.
pub struct FakeVpp {
    listener: UnixListener,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl FakeVpp {
    pub fn listen() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        Self { listener: UnixListener::bind(&path).unwrap(), path, _dir: dir }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Accepts a connection without a handshake.
    pub async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        Peer { stream, input: BytesMut::new() }
    }

    /// A session whose handshake reply has `table`, and its peer.
    pub async fn session_with(&self, table: MessageTable, options: SessionOptions) -> (Session, Peer) {
        let (session, peer) = tokio::join!(Session::connect(&self.path, options), async {
            let mut peer = self.accept().await;
            peer.handshake(table).await;
            peer
        });
        (session.unwrap(), peer)
    }

    pub async fn session(&self, options: SessionOptions) -> (Session, Peer) {
        self.session_with(full_table(), options).await
    }
}

/// Options with the default deadline; events are discarded.
pub fn options() -> SessionOptions {
    SessionOptions::new("wire-test", Events::discard())
}

/// The id of `M` in [`full_table`].
pub fn id_of<M: Message>() -> u16 {
    let index = KNOWN_MESSAGES.iter().position(|message| message.name == M::NAME).unwrap();
    u16::try_from(index).unwrap() + 100
}

/// All known messages with ids of this peer.
pub fn full_table() -> MessageTable {
    let entry = |(message, id): (&messages::Signature, u16)| TableEntry { id, name: Text::new(&message.table_name()) };
    MessageTable(KNOWN_MESSAGES.iter().zip(100..).map(entry).collect())
}

pub struct Peer {
    stream: UnixStream,
    input: BytesMut,
}

impl Peer {
    /// The body of the next frame; `None` at the end of the stream.
    pub async fn body(&mut self) -> Option<Bytes> {
        frame::read(&mut self.stream, &mut self.input).await.unwrap()
    }

    /// The next frame, which must be an `M` with the id in [`full_table`].
    pub async fn request<M: Message>(&mut self) -> (u32, M) {
        let body = self.body().await.unwrap_or_else(|| panic!("the connection ended instead of {}", M::NAME));
        assert_eq!(messages::id(&body), Some(id_of::<M>()), "{}", M::NAME);
        let (envelope, message) = messages::decode::<M>(&body).unwrap();
        assert_eq!(envelope.client_index, CLIENT_INDEX);
        (envelope.context, message)
    }

    /// Number of received bytes that are not part of a frame yet.
    pub fn unread(&self) -> usize {
        self.input.len()
    }

    /// Replies with `message` to `context`, with the id in [`full_table`].
    pub async fn reply<M: Message>(&mut self, context: u32, message: &M) {
        let mut out = BytesMut::new();
        messages::encode(Envelope { id: id_of::<M>(), client_index: 0, context }, message, &mut out);
        self.send(&out).await;
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends bytes that the session may refuse to read.
    pub async fn send_or_fail(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Sends a frame with this body.
    pub async fn send_body(&mut self, body: &[u8]) {
        self.send(&framed(body)).await;
    }

    /// Reads `sockclnt_create` and replies with `table`.
    pub async fn handshake(&mut self, table: MessageTable) -> SockclntCreate {
        let body = self.body().await.unwrap();
        assert_eq!(messages::id(&body), Some(SOCKCLNT_CREATE));
        let (envelope, create) = messages::decode::<SockclntCreate>(&body).unwrap();
        let reply = SockclntCreateReply { response: 0, index: CLIENT_INDEX, table };
        let mut out = BytesMut::new();
        let envelope = Envelope { id: SOCKCLNT_CREATE_REPLY, client_index: 0, context: envelope.context };
        messages::encode(envelope, &reply, &mut out);
        self.send(&out).await;
        create
    }
}

/// A frame with this body, with VPP's stray pointer in the header.
pub fn framed(body: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    frame::put(&mut out, |to| to.put(body));
    out[..8].copy_from_slice(&[0xc0, 0xd4, 4, 0x30, 1, 0, 0, 0]);
    out.to_vec()
}

/// The context of a request.
pub fn context_of(body: &[u8]) -> u32 {
    messages::peek(body, HeaderKind::Request).unwrap().context
}

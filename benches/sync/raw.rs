//! The reference for the agent: recorded frames on a blocking socket, with a fixed number of requests in flight. Parses
//! only lengths while the clock runs.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use bytes::BytesMut;
use maglev_vpp::{
    codec::Text,
    frame,
    messages::{
        self, Envelope, Signature,
        lb::{LbAddDelAsV2, LbAddDelAsV2Reply, LbAddDelVipV2},
        memclnt::{MessageTable, SOCKCLNT_CREATE, SOCKCLNT_CREATE_REPLY, SockclntCreate, SockclntCreateReply},
    },
};
use tokio::task::spawn_blocking;

use crate::{tap, workload::Workload};

/// The timeout of any reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);
// The positions of client index and context in the frame of a request.
const CLIENT_INDEX: usize = frame::HEADER + 2;
const CONTEXT: usize = CLIENT_INDEX + 4;

#[derive(Clone)]
pub struct Frames {
    bytes: Arc<[u8]>,
    /// The start of each frame, and the end of the last.
    bounds: Arc<[usize]>,
}

impl Frames {
    /// Records the frames with which an agent changes the VPP at `socket`, in the order of sending.
    pub async fn recorded(socket: &Path, workload: &Workload) -> anyhow::Result<Self> {
        let bodies = tap::record(socket, workload).await?;
        let path = socket.to_owned();
        let reply = spawn_blocking(move || connect(&path)).await??.1;
        let ids = [
            message_id(&reply.table, Signature::new::<LbAddDelVipV2>())?,
            message_id(&reply.table, Signature::new::<LbAddDelAsV2>())?,
        ];
        let (mut bytes, mut bounds) = (BytesMut::new(), vec![0]);
        for body in bodies.iter().filter(|body| messages::id(body).is_some_and(|id| ids.contains(&id))) {
            frame::put(&mut bytes, |to| to.put(body));
            bounds.push(bytes.len());
        }
        let count = bounds.len() - 1;
        ensure!(
            count == usize::try_from(workload.operations())?,
            "the agent sent {count} requests instead of {}",
            workload.operations()
        );
        Ok(Self { bytes: bytes.to_vec().into(), bounds: bounds.into() })
    }

    /// Sends all frames to the VPP at `socket`, which has none of the VIPs. Returns the time from the first byte of the
    /// first request to the last byte of the last reply.
    pub async fn replay(&self, socket: &Path, window: usize) -> anyhow::Result<Duration> {
        let (frames, path) = (self.clone(), socket.to_owned());
        spawn_blocking(move || {
            let (mut stream, reply) = connect(&path)?;
            let bytes = frames.for_client(reply.index)?;
            let mut replies = BytesMut::with_capacity(64 * frames.len());
            let start = Instant::now();
            frames.exchange(&mut stream, &bytes, window, &mut replies)?;
            let took = start.elapsed();
            frames.check(&mut replies)?;
            Ok(took)
        })
        .await?
    }

    fn len(&self) -> usize {
        self.bounds.len() - 1
    }

    /// The frames with this client index and with contexts from 0.
    fn for_client(&self, client_index: u32) -> anyhow::Result<Vec<u8>> {
        let mut bytes = self.bytes.to_vec();
        for (context, start) in self.bounds[..self.len()].iter().enumerate() {
            bytes[start + CLIENT_INDEX..][..4].copy_from_slice(&client_index.to_be_bytes());
            bytes[start + CONTEXT..][..4].copy_from_slice(&u32::try_from(context)?.to_be_bytes());
        }
        Ok(bytes)
    }

    fn exchange(
        &self,
        stream: &mut UnixStream,
        bytes: &[u8],
        window: usize,
        replies: &mut BytesMut,
    ) -> anyhow::Result<()> {
        let mut chunk = vec![0; 64 << 10];
        let (mut sent, mut received, mut parsed) = (0, 0, 0);
        while received < self.len() {
            let next = self.len().min(received + window);
            if next > sent {
                stream.write_all(&bytes[self.bounds[sent]..self.bounds[next]])?;
                sent = next;
            }
            let read = stream.read(&mut chunk)?;
            ensure!(read > 0, "VPP closed the socket");
            replies.extend_from_slice(&chunk[..read]);
            while let Some(length) = frame::check(&replies[parsed..])? {
                parsed += length;
                received += 1;
            }
        }
        Ok(())
    }

    /// Checks that all replies are present, in order and successful.
    fn check(&self, replies: &mut BytesMut) -> anyhow::Result<()> {
        for context in 0..self.len() {
            let body = frame::parse(replies)?.context("a reply is missing")?;
            // The reply about a VIP has the same layout.
            let (envelope, reply) = messages::decode::<LbAddDelAsV2Reply>(&body)?;
            ensure!(envelope.context == u32::try_from(context)?, "the replies are out of order");
            ensure!(reply.retval == 0, "VPP refused request {context} with {}", reply.retval);
        }
        Ok(())
    }
}

pub fn connect(socket: &Path) -> anyhow::Result<(UnixStream, SockclntCreateReply)> {
    let mut stream = UnixStream::connect(socket).with_context(|| socket.display().to_string())?;
    stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
    stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
    let mut out = BytesMut::new();
    let envelope = Envelope { id: SOCKCLNT_CREATE, ..Envelope::default() };
    messages::encode(envelope, &SockclntCreate { name: Text::new("maglev-bench") }, &mut out);
    stream.write_all(&out)?;
    let (mut input, mut chunk) = (BytesMut::new(), vec![0; 64 << 10]);
    loop {
        if let Some(body) = frame::parse(&mut input)? {
            ensure!(
                messages::id(&body) == Some(SOCKCLNT_CREATE_REPLY),
                "VPP sent another message than sockclnt_create_reply"
            );
            return Ok((stream, messages::decode(&body)?.1));
        }
        match stream.read(&mut chunk)? {
            0 => bail!("VPP closed the socket"),
            read => input.extend_from_slice(&chunk[..read]),
        }
    }
}

pub fn message_id(table: &MessageTable, message: Signature) -> anyhow::Result<u16> {
    let name = message.table_name();
    let entry = table.0.iter().find(|entry| entry.name.as_str() == name);
    Ok(entry.with_context(|| format!("VPP does not support the message {name}"))?.id)
}

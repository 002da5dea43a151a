//! What ours is measured by: frames that were encoded before, on a blocking socket, so many in
//! flight. It looks at nothing but lengths while the clock runs.

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

/// For any answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where client index and context are in the frame of a request.
const CLIENT_INDEX: usize = frame::HEADER + 2;
const CONTEXT: usize = CLIENT_INDEX + 4;

#[derive(Clone)]
pub struct Frames {
    bytes: Arc<[u8]>,
    /// Where each begins, and the end of the last.
    bounds: Arc<[usize]>,
}

impl Frames {
    /// The frames by which an agent changes the VPP at `socket`, in the order in which it sends them.
    pub async fn recorded(socket: &Path, workload: &Workload) -> anyhow::Result<Self> {
        let bodies = tap::record(socket, workload).await?;
        let path = socket.to_owned();
        let greeting = spawn_blocking(move || connect(&path)).await??.1;
        let ids = [
            id_of(&greeting.table, Signature::new::<LbAddDelVipV2>())?,
            id_of(&greeting.table, Signature::new::<LbAddDelAsV2>())?,
        ];
        let (mut bytes, mut bounds) = (BytesMut::new(), vec![0]);
        for body in bodies.iter().filter(|body| messages::id(body).is_some_and(|id| ids.contains(&id))) {
            frame::put(&mut bytes, |to| to.put(body));
            bounds.push(bytes.len());
        }
        let count = bounds.len() - 1;
        ensure!(count == usize::try_from(workload.operations())?, "the agent sent {count} requests");
        Ok(Self { bytes: bytes.to_vec().into(), bounds: bounds.into() })
    }

    /// Sends them to the VPP at `socket`, which has none of the VIPs; from the first byte of the first
    /// request to the last byte of the last answer.
    pub async fn replay(&self, socket: &Path, window: usize) -> anyhow::Result<Duration> {
        let (frames, path) = (self.clone(), socket.to_owned());
        spawn_blocking(move || {
            let (mut stream, greeting) = connect(&path)?;
            let bytes = frames.addressed(greeting.index)?;
            let mut answers = BytesMut::with_capacity(64 * frames.len());
            let start = Instant::now();
            frames.exchange(&mut stream, &bytes, window, &mut answers)?;
            let took = start.elapsed();
            frames.check(&mut answers)?;
            Ok(took)
        })
        .await?
    }

    fn len(&self) -> usize {
        self.bounds.len() - 1
    }

    /// The frames from a client of this index, with contexts from 0 on.
    fn addressed(&self, client_index: u32) -> anyhow::Result<Vec<u8>> {
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
        answers: &mut BytesMut,
    ) -> anyhow::Result<()> {
        let mut chunk = vec![0; 64 << 10];
        let (mut sent, mut answered, mut looked_at) = (0, 0, 0);
        while answered < self.len() {
            let next = self.len().min(answered + window);
            if next > sent {
                stream.write_all(&bytes[self.bounds[sent]..self.bounds[next]])?;
                sent = next;
            }
            let read = stream.read(&mut chunk)?;
            ensure!(read > 0, "VPP closed the socket");
            answers.extend_from_slice(&chunk[..read]);
            while let Some(length) = frame::check(&answers[looked_at..])? {
                looked_at += length;
                answered += 1;
            }
        }
        Ok(())
    }

    /// Every answer is there, in order, and says that it was done.
    fn check(&self, answers: &mut BytesMut) -> anyhow::Result<()> {
        for context in 0..self.len() {
            let body = frame::parse(answers)?.context("an answer")?;
            // The answer about a VIP looks the same.
            let (envelope, reply) = messages::decode::<LbAddDelAsV2Reply>(&body)?;
            ensure!(envelope.context == u32::try_from(context)?, "the answers are out of order");
            ensure!(reply.retval == 0, "VPP refused request {context} with {}", reply.retval);
        }
        Ok(())
    }
}

pub fn connect(socket: &Path) -> anyhow::Result<(UnixStream, SockclntCreateReply)> {
    let mut stream = UnixStream::connect(socket).with_context(|| socket.display().to_string())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut out = BytesMut::new();
    let envelope = Envelope { id: SOCKCLNT_CREATE, ..Envelope::default() };
    messages::encode(envelope, &SockclntCreate { name: Text::new("maglev-bench") }, &mut out);
    stream.write_all(&out)?;
    let (mut input, mut chunk) = (BytesMut::new(), vec![0; 64 << 10]);
    loop {
        if let Some(body) = frame::parse(&mut input)? {
            ensure!(messages::id(&body) == Some(SOCKCLNT_CREATE_REPLY), "VPP answers with something else");
            return Ok((stream, messages::decode(&body)?.1));
        }
        match stream.read(&mut chunk)? {
            0 => bail!("VPP closed the socket"),
            read => input.extend_from_slice(&chunk[..read]),
        }
    }
}

pub fn id_of(table: &MessageTable, message: Signature) -> anyhow::Result<u16> {
    let name = message.table_name();
    let entry = table.0.iter().find(|entry| entry.name.as_str() == name);
    Ok(entry.with_context(|| format!("VPP does not speak {name}"))?.id)
}

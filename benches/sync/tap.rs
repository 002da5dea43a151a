//! Records the messages of an agent to VPP, with a socket between the two.

use std::{path::Path, sync::Arc};

use bytes::{Bytes, BytesMut};
use maglev_vpp::frame;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Mutex,
};

use crate::{agent_sync, workload::Workload};

/// The bodies of all frames that an agent sends to the VPP at `socket` until the end of its first full sync.
pub async fn record(socket: &Path, workload: &Workload) -> anyhow::Result<Vec<Bytes>> {
    let directory = tempfile::tempdir()?;
    let tap_socket = directory.path().join("tap.sock");
    let listener = UnixListener::bind(&tap_socket)?;
    let written = Arc::new(Mutex::new(BytesMut::new()));
    let pass = agent_sync::sync(&tap_socket, workload);
    tokio::pin!(pass);
    let client = tokio::select! {
        accepted = listener.accept() => accepted?.0,
        result = &mut pass => anyhow::bail!("the agent ended before it connected: {result:?}"),
    };
    let (from_vpp, to_vpp) = UnixStream::connect(socket).await?.into_split();
    let (from_agent, mut to_agent) = client.into_split();
    let requests = tokio::spawn(forward(from_agent, to_vpp, Arc::clone(&written)));
    let mut from_vpp = from_vpp;
    let replies = tokio::spawn(async move { copy(&mut from_vpp, &mut to_agent).await.map(drop) });
    pass.await?;
    // The agent has closed its connection, so the recording is complete.
    requests.await??;
    replies.abort();
    let mut written = written.lock().await;
    let mut bodies = Vec::new();
    while let Some(body) = frame::parse(&mut written)? {
        bodies.push(body);
    }
    Ok(bodies)
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, copy: Arc<Mutex<BytesMut>>) -> std::io::Result<()> {
    let mut chunk = BytesMut::new();
    while from.read_buf(&mut chunk).await? > 0 {
        copy.lock().await.extend_from_slice(&chunk);
        to.write_all_buf(&mut chunk).await?;
        chunk.clear();
    }
    Ok(())
}

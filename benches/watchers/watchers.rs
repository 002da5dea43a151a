//! The watchers, in a separate process: they read bytes and count events.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context as _;
use bytes::{Buf as _, Bytes};
use maglev_rpc::{client::AgentClient, proto};
use prost::{
    Message as _,
    encoding::{WireType, decode_key, decode_varint, skip_field},
};
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

use maglev_benches::counting_process::{self, CountingProcess};

/// The argument that makes this program the process of the watchers.
const ROLE: &str = "--watch";

/// The counts of all watchers together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    pub messages: u64,
    pub bytes: u64,
    pub events: u64,
    pub lost: u64,
}

impl Counted {
    pub fn since(&self, before: &Self) -> Self {
        Self {
            messages: self.messages - before.messages,
            bytes: self.bytes - before.bytes,
            events: self.events - before.events,
            lost: self.lost - before.lost,
        }
    }
}

/// The process of the watchers.
pub struct Watchers(CountingProcess);

impl Watchers {
    /// Starts `count` watchers and waits until each has received its first message.
    pub async fn start(address: SocketAddr, count: usize) -> anyhow::Result<Self> {
        Ok(Self(CountingProcess::start(&[ROLE, &address.to_string(), &count.to_string()]).await?))
    }

    /// The counts so far.
    pub async fn counts(&mut self) -> anyhow::Result<Counted> {
        let [messages, bytes, events, lost] = self.0.counts().await?;
        Ok(Counted { messages, bytes, events, lost })
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        self.0.stop().await
    }
}

/// Runs the process of the watchers if the arguments request that.
pub fn run_if_requested(arguments: &[String]) -> Option<anyhow::Result<()>> {
    let [role, address, count] = arguments else { return None };
    (role == ROLE).then(|| counting_process::run(watch(address, count.parse()?)))
}

async fn watch(address: &str, count: usize) -> anyhow::Result<()> {
    let counts: Arc<[AtomicU64; 4]> = Arc::default();
    for _ in 0..count {
        let channel = AgentClient::endpoint(format!("http://{address}"))?.connect().await?;
        let mut messages = open(channel).await?;
        messages.message().await?.context("the server ended the stream before its first message")?;
        let counts = Arc::clone(&counts);
        tokio::spawn(async move {
            while let Ok(Some(message)) = messages.message().await {
                add_counts(&message, &counts);
            }
        });
    }
    counting_process::serve(|| counts.iter().map(|count| count.load(Ordering::Relaxed)).collect()).await;
    Ok(())
}

async fn open(channel: Channel) -> anyhow::Result<tonic::Streaming<Bytes>> {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(64 << 20);
    grpc.ready().await?;
    let request = Request::new(proto::WatchEventsRequest { log: true, ..Default::default() });
    let path = http::uri::PathAndQuery::from_static("/maglev.v1.Maglev/WatchEvents");
    Ok(grpc.server_streaming(request, path, RawCodec).await?.into_inner())
}

/// Counts the events in a `WatchEventsResponse` without decoding them.
fn add_counts(message: &Bytes, [messages, bytes, events, lost]: &[AtomicU64; 4]) {
    messages.fetch_add(1, Ordering::Relaxed);
    bytes.fetch_add(message.len() as u64, Ordering::Relaxed);
    let mut rest = message.clone();
    while rest.has_remaining() {
        let Ok((tag, wire_type)) = decode_key(&mut rest) else { return };
        match (tag, wire_type) {
            (2, WireType::Varint) => {
                lost.fetch_add(decode_varint(&mut rest).unwrap_or(0), Ordering::Relaxed);
            }
            _ => {
                events.fetch_add(u64::from(tag == 1), Ordering::Relaxed);
                if skip_field(wire_type, tag, &mut rest, Default::default()).is_err() {
                    return;
                }
            }
        }
    }
}

/// A codec that does not decode messages.
struct RawCodec;

impl Codec for RawCodec {
    type Encode = proto::WatchEventsRequest;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = proto::WatchEventsRequest;
    type Error = Status;

    fn encode(&mut self, request: Self::Item, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        request.encode(buf).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buf.copy_to_bytes(buf.remaining())))
    }
}

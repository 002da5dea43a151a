//! The watchers, in a process of their own: they read bytes and count.

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

use maglev_benches::counting::{self, Counting};

/// The argument that makes a process one of watchers.
const ASKED: &str = "--watch";

/// What all watchers together have counted.
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
pub struct Watchers(Counting);

impl Watchers {
    /// Starts `count` of them and waits until each has its first message.
    pub async fn start(address: SocketAddr, count: usize) -> anyhow::Result<Self> {
        Ok(Self(Counting::start(&[ASKED, &address.to_string(), &count.to_string()]).await?))
    }

    /// What they have counted by now.
    pub async fn counted(&mut self) -> anyhow::Result<Counted> {
        let [messages, bytes, events, lost] = self.0.numbers().await?;
        Ok(Counted { messages, bytes, events, lost })
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        self.0.stop().await
    }
}

/// Is that process, if the arguments say so.
pub fn watch_if_asked(arguments: &[String]) -> Option<anyhow::Result<()>> {
    let [asked, address, count] = arguments else { return None };
    (asked == ASKED).then(|| counting::run(watch(address, count.parse()?)))
}

async fn watch(address: &str, count: usize) -> anyhow::Result<()> {
    let counts: Arc<[AtomicU64; 4]> = Arc::default();
    for _ in 0..count {
        let channel = AgentClient::endpoint(format!("http://{address}"))?.connect().await?;
        let mut messages = open(channel).await?;
        messages.message().await?.context("a first message")?;
        let counts = Arc::clone(&counts);
        tokio::spawn(async move {
            while let Ok(Some(message)) = messages.message().await {
                count_in(&message, &counts);
            }
        });
    }
    counting::answer(|| counts.iter().map(|count| count.load(Ordering::Relaxed)).collect()).await;
    Ok(())
}

async fn open(channel: Channel) -> anyhow::Result<tonic::Streaming<Bytes>> {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(64 << 20);
    grpc.ready().await?;
    let request = Request::new(proto::WatchEventsRequest { log: true, ..Default::default() });
    let path = http::uri::PathAndQuery::from_static("/maglev.v1.Maglev/WatchEvents");
    Ok(grpc.server_streaming(request, path, Raw).await?.into_inner())
}

/// Counts what a `WatchEventsResponse` holds without reading its events.
fn count_in(message: &Bytes, [messages, bytes, events, lost]: &[AtomicU64; 4]) {
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

/// Takes messages as the bytes that they are.
struct Raw;

impl Codec for Raw {
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

impl Encoder for Raw {
    type Item = proto::WatchEventsRequest;
    type Error = Status;

    fn encode(&mut self, request: Self::Item, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        request.encode(buf).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buf.copy_to_bytes(buf.remaining())))
    }
}

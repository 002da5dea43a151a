//! The router of the sandbox: it moves packets between the tun devices of the client and the backends, and the VPPs.
//!
//! ```text
//!  client's tun ─▶ route (ECMP) ─▶ VPP of a node ─▶ decapsulation ─▶ tun of a backend
//!       ▲                                                                  │
//!       └────────────────────────── direct return ◀────────────────────────┘
//! ```

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use parking_lot::Mutex;
use tokio::net::{
    UnixStream,
    unix::{OwnedReadHalf, OwnedWriteHalf},
};
use tokio::sync::{mpsc, watch};
use tokio_util::codec::{FramedRead, FramedWrite};
use tun_rs::AsyncDevice;

use super::frame::{Frame, FrameCodec};
use super::header::{Decapsulator, destination, flow_hash};
use super::node_tunnels::NodeAnswers;
use super::pod_network::PodNetwork;
use super::routes::{NoRoute, RouteTable, Routes};

/// Maximum number of packets that wait for one VPP; further ones are dropped.
pub const QUEUE: usize = 4096;
/// Maximum number of packets that are sent to a VPP together.
const BATCH: usize = 64;
/// Size of the buffer for one packet.
pub const BUFFER: usize = 1 << 16;
/// Pause between two attempts to connect to a VPP.
pub const RECONNECT: Duration = Duration::from_millis(100);

/// Numbers of packets since the start. Every packet of a client is in one of the first five.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketCounts {
    /// Passed to a VPP.
    pub to_vpp: u64,
    /// Dropped, because the destination is no VIP.
    pub no_vip: u64,
    /// Dropped, because no VPP with the VIP is up.
    pub no_node: u64,
    /// Dropped, because too many packets waited for the VPP.
    pub overflow: u64,
    /// Sent to the address of a backend.
    pub to_backend: u64,
    /// Packets from a VPP that reached a backend.
    pub delivered: u64,
    /// Packets from a VPP that no backend accepted. Fragments of a packet are delivered together.
    pub undeliverable: u64,
}

#[derive(Debug, Default)]
pub struct PacketCounters {
    to_vpp: AtomicU64,
    no_vip: AtomicU64,
    no_node: AtomicU64,
    overflow: AtomicU64,
    to_backend: AtomicU64,
    delivered: AtomicU64,
    undeliverable: AtomicU64,
}

impl PacketCounters {
    pub fn counts(&self) -> PacketCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PacketCounts {
            to_vpp: load(&self.to_vpp),
            no_vip: load(&self.no_vip),
            no_node: load(&self.no_node),
            overflow: load(&self.overflow),
            to_backend: load(&self.to_backend),
            delivered: load(&self.delivered),
            undeliverable: load(&self.undeliverable),
        }
    }
}

fn increment(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Passes the clients' packets to the VPPs, and packets in tunnels to the backends.
pub struct ClientPort {
    pub device: Arc<AsyncDevice>,
    pub routes_rx: watch::Receiver<Arc<Routes>>,
    /// The queue of each node.
    pub queues: Vec<mpsc::Sender<Bytes>>,
    pub backends: Arc<Backends>,
    pub counters: Arc<PacketCounters>,
}

impl ClientPort {
    pub async fn run(self) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let length = self.device.recv(&mut buffer).await?;
            let packet = &buffer[..length];
            match destination(packet).and_then(|address| self.backends.get(&address)) {
                Some(backend) => {
                    increment(&self.counters.to_backend);
                    backend.deliver(packet, &self.routes_rx).await;
                }
                None => increment(self.route(packet)),
            }
        }
    }

    /// Passes a packet to a node's queue. Returns the counter for the result.
    fn route(&self, packet: &[u8]) -> &AtomicU64 {
        let route = destination(packet).ok_or(NoRoute::NoVip);
        match route.and_then(|address| self.routes_rx.borrow().node(address, flow_hash(packet))) {
            Err(NoRoute::NoVip) => &self.counters.no_vip,
            Err(NoRoute::NoNode) => &self.counters.no_node,
            Ok(node) => match self.queues[node].try_send(Bytes::copy_from_slice(packet)) {
                Ok(()) => &self.counters.to_vpp,
                Err(_) => &self.counters.overflow,
            },
        }
    }
}

/// The way of a packet after its decapsulation.
enum Exit {
    /// The tun device of a backend.
    Backend(AsyncDevice),
    /// The Service proxy of the node with this name.
    Node(Arc<str>, Arc<PodNetwork>),
}

/// The end of the tunnels to a backend or a node.
pub struct BackendPort {
    exit: Exit,
    pub decapsulator: Mutex<Decapsulator>,
    /// Larger packets in tunnels are lost, by their size without the encapsulation.
    largest: AtomicUsize,
}

impl BackendPort {
    pub fn new(device: AsyncDevice) -> Self {
        Self::with_exit(Exit::Backend(device))
    }

    /// The end of the tunnels to a node.
    pub fn node(name: &str, network: Arc<PodNetwork>) -> Self {
        Self::with_exit(Exit::Node(name.into(), network))
    }

    fn with_exit(exit: Exit) -> Self {
        Self { exit, decapsulator: Mutex::new(Decapsulator::new()), largest: AtomicUsize::new(usize::MAX) }
    }

    /// Loses packets in tunnels of more than `largest` bytes, without the encapsulation.
    pub fn limit(&self, largest: usize) {
        self.largest.store(largest, Ordering::Relaxed);
    }

    /// Passes the inside of an encapsulated packet to the backend. Returns false if the packet was not delivered.
    pub async fn deliver(&self, packet: &[u8], routes_rx: &watch::Receiver<Arc<Routes>>) -> bool {
        let inner = self.decapsulator.lock().decapsulate(packet, |dscp| routes_rx.borrow().with_dscp(dscp));
        match inner {
            Some(inner) => self.deliver_inner(&inner).await,
            None => false,
        }
    }

    /// Passes a packet from a tunnel to the backend. Returns false if the packet was not delivered.
    pub async fn deliver_inner(&self, inner: &[u8]) -> bool {
        if inner.len() > self.largest.load(Ordering::Relaxed) {
            return false;
        }
        match &self.exit {
            Exit::Backend(device) => device.send(inner).await.is_ok(),
            Exit::Node(name, network) => network.deliver(name, inner).await,
        }
    }

    /// Returns the backend's answers to the client, or to an agent. The answers of pods are returned by their network.
    pub async fn run(self: Arc<Self>, client: Arc<AsyncDevice>, nodes: Option<Arc<NodeAnswers>>) -> io::Result<()> {
        let Exit::Backend(device) = &self.exit else { return Ok(()) };
        let mut buffer = vec![0; BUFFER];
        loop {
            let length = device.recv(&mut buffer).await?;
            let packet = &buffer[..length];
            // IPv6 sends multicast packets of its own.
            if destination(packet).is_none_or(|address| address.is_multicast()) {
                continue;
            }
            if !nodes.as_ref().is_some_and(|nodes| nodes.deliver(packet)) {
                client.send(packet).await?;
            }
        }
    }
}

/// The backends and nodes by their addresses.
pub type Backends = HashMap<IpAddr, Arc<BackendPort>>;

/// The connection to the simulated VPP of one node, which is established again whenever it ends.
pub struct NodeLink {
    pub socket: PathBuf,
    pub queue_rx: mpsc::Receiver<Bytes>,
    pub receiver: Receiver,
}

impl NodeLink {
    pub async fn run(mut self) {
        loop {
            if let Ok(stream) = UnixStream::connect(&self.socket).await {
                // Packets that waited for the VPP before it went down.
                while self.queue_rx.try_recv().is_ok() {}
                let ended = self.exchange(stream).await;
                tracing::debug!(socket = %self.socket.display(), ?ended, "the connection to a simulated VPP has ended");
                self.receiver.table.disconnected(self.receiver.number);
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    async fn exchange(&mut self, stream: UnixStream) -> io::Result<()> {
        let (reader, writer) = stream.into_split();
        // Not one after the other: VPP waits for the receiver of its packets.
        tokio::select! {
            ended = self.receiver.run(FramedRead::new(reader, FrameCodec::default())) => ended,
            ended = send(&mut self.queue_rx, FramedWrite::new(writer, FrameCodec::default())) => ended,
        }
    }
}

async fn send(
    queue_rx: &mut mpsc::Receiver<Bytes>,
    mut frames: FramedWrite<OwnedWriteHalf, FrameCodec>,
) -> io::Result<()> {
    let mut batch = Vec::with_capacity(BATCH);
    while queue_rx.recv_many(&mut batch, BATCH).await > 0 {
        for packet in batch.drain(..) {
            frames.feed(Frame::Packet(packet)).await?;
        }
        frames.flush().await?;
    }
    Ok(())
}

/// Takes the packets and the VIPs of one VPP.
pub struct Receiver {
    /// Index of the node.
    pub number: usize,
    pub table: Arc<RouteTable>,
    pub backends: Arc<Backends>,
    pub counters: Arc<PacketCounters>,
    pub routes_rx: watch::Receiver<Arc<Routes>>,
}

impl Receiver {
    async fn run(&self, mut frames: FramedRead<OwnedReadHalf, FrameCodec>) -> io::Result<()> {
        while let Some(frame) = frames.next().await {
            match frame? {
                Frame::Packet(packet) => self.deliver(&packet).await,
                Frame::Vips(vips) => self.table.connected(self.number, vips),
            }
        }
        Ok(())
    }

    /// Delivers a packet that VPP has sent.
    pub async fn deliver(&self, packet: &[u8]) {
        let port = destination(packet).and_then(|address| self.backends.get(&address));
        let delivered = match port {
            Some(port) => port.deliver(packet, &self.routes_rx).await,
            None => false,
        };
        increment(if delivered { &self.counters.delivered } else { &self.counters.undeliverable });
    }
}

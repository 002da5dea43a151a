//! The packets' side of a simulated VPP: a Unix stream socket, on which the router of a sandbox sends packets and receives
//! the packets to the backends, and the VIPs of the VPP whenever they change.

use std::{collections::BTreeSet, io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::MissedTickBehavior;
use tokio_util::{codec::Framed, sync::CancellationToken, task::TaskTracker};

use maglev_vpp_simulator::{Forwarder, Simulator, VipSettings};

use super::announced_vips::{AnnouncedVips, INTERVAL};
use super::frame::{Frame, FrameCodec, L3DSR, ProgrammedVip};

/// Pause after a connection could not be accepted.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Number of packets after which packets to backends are sent, although more packets are waiting.
const BATCH: usize = 64;

/// Listens on `socket`, after removing an old file, and forwards packets until `shutdown`.
///
/// # Errors
/// The socket cannot be created.
pub fn serve(simulator: Arc<Simulator>, socket: &Path, shutdown: CancellationToken) -> io::Result<TaskTracker> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    let tasks = TaskTracker::new();
    let (path, connections) = (socket.to_owned(), tasks.clone());
    tasks.spawn(async move {
        shutdown.run_until_cancelled(accept(listener, simulator, &shutdown, &connections)).await;
        // A leftover file is removed at the next start.
        let _ = std::fs::remove_file(path);
    });
    tasks.close();
    Ok(tasks)
}

async fn accept(
    listener: UnixListener,
    simulator: Arc<Simulator>,
    shutdown: &CancellationToken,
    connections: &TaskTracker,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (shutdown, simulator) = (shutdown.clone(), Arc::clone(&simulator));
                connections.spawn(async move {
                    let connection = Connection::new(stream, simulator);
                    // The router connects again.
                    if let Some(Err(error)) = shutdown.run_until_cancelled(connection.run()).await {
                        tracing::debug!(%error, "a router has disconnected");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a router");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// A router's connection.
struct Connection {
    stream: Framed<UnixStream, FrameCodec>,
    simulator: Arc<Simulator>,
    forwarder: Forwarder,
}

impl Connection {
    fn new(stream: UnixStream, simulator: Arc<Simulator>) -> Self {
        let forwarder = simulator.forwarder();
        Self { stream: Framed::new(stream, FrameCodec::default()), simulator, forwarder }
    }

    /// Forwards until the router disconnects or VPP stops.
    async fn run(mut self) -> io::Result<()> {
        let mut announced = AnnouncedVips::default();
        let mut vips_due = tokio::time::interval(INTERVAL);
        vips_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = vips_due.tick() => {
                    if !self.simulator.is_running().await {
                        return Ok(());
                    }
                    if let Some(vips) = announced.update(programmed_vips(&self.simulator)) {
                        self.stream.send(Frame::Vips(vips)).await?;
                    }
                }
                frame = self.stream.next() => match frame {
                    Some(frame) => self.forward_batch(frame?).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Forwards the packets that have arrived, and sends the results together.
    async fn forward_batch(&mut self, first: Frame) -> io::Result<()> {
        let mut next = Some(first);
        for _ in 0..BATCH {
            let Some(frame) = next else { break };
            self.forward(frame).await?;
            next = self.stream.next().now_or_never().flatten().transpose()?;
        }
        if let Some(last) = next {
            self.forward(last).await?;
        }
        self.stream.flush().await
    }

    async fn forward(&mut self, frame: Frame) -> io::Result<()> {
        let Frame::Packet(packet) = frame else { return Ok(()) };
        let mut results = Vec::new();
        self.forwarder.forward(&packet, &mut |result| results.push(Bytes::copy_from_slice(result)));
        for result in results {
            self.stream.feed(Frame::Packet(result)).await?;
        }
        Ok(())
    }
}

/// The VIPs with a single address.
fn programmed_vips(simulator: &Simulator) -> BTreeSet<ProgrammedVip> {
    let vips = simulator.snapshot().vips;
    let hosts = vips.into_iter().filter(|(vip, _)| vip.is_host());
    let programmed = hosts.map(|(vip, state)| {
        let VipSettings { encap, dscp, .. } = state.settings;
        let dscp = (encap == L3DSR).then_some(dscp);
        ProgrammedVip { address: vip.address, protocol: vip.protocol, port: vip.port, dscp }
    });
    programmed.collect()
}

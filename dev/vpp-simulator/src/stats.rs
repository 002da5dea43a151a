//! The stats segment: a memory file that clients receive from the stats socket, in the layout of VPP.
//!
//! ```text
//!  client ── stats.sock ── serve ──┐ the descriptor
//!               every 100 ms: SimulatorState ── Figures ── image ── Publisher ── memory file
//! ```
//!
//! Each run of VPP has its own memory file; clients of an earlier run keep the old one unchanged. Counters are updated in
//! place, one by one; nothing is written while no counter changes. If a vector has to grow, the whole segment is rewritten between `in_progress` and the next epoch, as
//! when VPP moves a vector.

mod image;
mod publisher;

use std::{
    collections::BTreeMap,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind,
    listen, sendmsg, socket_with,
};
use tokio::{
    net::{UnixListener, UnixStream},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use self::publisher::Publisher;
use super::{THREADS, WORKER, fib::RouteFigures, server::Shared, sticky, sticky::Sticky, vpp::Vpp};

/// Interval of updates of the segment.
const UPDATE_INTERVAL: Duration = Duration::from_millis(100);
/// Interval at which VPP updates its statistics and increases the heartbeat, in seconds.
const HEARTBEAT: u64 = 10;
/// Length of the queue of clients to accept.
const BACKLOG: i32 = 16;

/// The content of the segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Figures {
    boot_time: u64,
    heartbeat: u64,
    /// True if the worker handled all packets; simulated traffic is divided among the threads.
    by_worker: bool,
    /// The four counters of each VIP, by index in the pool.
    vips: BTreeMap<u32, [u64; 4]>,
    /// Number of indexes of routes.
    routes: u32,
    /// Traffic to the prefixes of routes.
    to: RouteFigures,
    /// Traffic that the plugin sent through routes.
    via: RouteFigures,
}

impl Figures {
    fn new(vpp: &mut Vpp) -> Self {
        vpp.catch_up();
        let vips = vpp.lb.vips.iter().map(|(index, vip)| (index, vip.counters.packets));
        let placeholder = Some((0, vpp.lb.plane.placeholder)).filter(|(_, packets)| *packets != [0; 4]);
        Self {
            boot_time: vpp.boot_time,
            heartbeat: vpp.uptime().as_secs() / HEARTBEAT,
            by_worker: matches!(vpp.lb.sticky, Sticky::Tracked(_)),
            vips: vips.chain(placeholder).collect(),
            routes: vpp.lb.fib.indexes(),
            to: vpp.lb.fib.to().clone(),
            via: vpp.lb.fib.via().clone(),
        }
    }
}

impl Figures {
    /// The part of each thread in `count`.
    fn shares(&self, count: u64) -> [u64; THREADS] {
        let mut all = [0; THREADS];
        all[WORKER] = count;
        if self.by_worker { all } else { sticky::shares(count) }
    }
}

/// The stats socket and segment of one run.
#[derive(Debug)]
pub struct StatsServer {
    listener: UnixListener,
    publisher: Publisher,
}

impl StatsServer {
    /// Binds the socket, after creating its directory and removing an old file. The segment has room for the counters of
    /// `routes` routes beside those of the plugin.
    pub fn bind(path: &Path, routes: u32) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        super::server::remove_file(path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        bind(&socket, &SocketAddrUnix::new(path)?)?;
        listen(&socket, BACKLOG)?;
        // Accepts other socket types as well, since nothing is read from clients.
        let listener = UnixListener::from_std(socket.into())?;
        Ok(Self { listener, publisher: Publisher::new(routes)? })
    }

    pub async fn run(mut self, shared: Arc<Shared>, ended: CancellationToken) {
        let mut ticks = interval(UPDATE_INTERVAL);
        // With many routes an update may take longer than the interval, and requests must be answered in between.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = ended.cancelled() => return,
                _ = ticks.tick() => self.publish(&shared),
                accepted = self.listener.accept() => {
                    shared.hang.ended().await;
                    self.publish(&shared);
                    // The client disconnected, or there are too many clients.
                    if let Err(error) = accepted.and_then(|(client, _)| send_segment(&client, self.publisher.file())) {
                        tracing::debug!(%error, "cannot send the stats segment of the simulated VPP");
                    }
                }
            }
        }
    }

    fn publish(&mut self, shared: &Shared) {
        let figures = Figures::new(&mut shared.state().vpp);
        if let Err(error) = self.publisher.publish(figures) {
            tracing::warn!(%error, "cannot write the stats segment of the simulated VPP");
        }
    }
}

fn send_segment(client: &UnixStream, file: &OwnedFd) -> io::Result<()> {
    let descriptors = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(client, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

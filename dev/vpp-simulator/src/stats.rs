//! The stats segment: a memory file that clients receive from the stats socket, in the layout of VPP.
//!
//! ```text
//!  client ── stats.sock ── serve ──┐ the descriptor
//!               every 100 ms: SimulatorState ── Figures ── image ── Publisher ── memory file
//! ```
//!
//! Each run of VPP has its own memory file; clients of an earlier run keep the old one unchanged. Counters are updated in
//! place, one by one. If a vector has to grow, the whole segment is rewritten between `in_progress` and the next epoch, as
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
    time::interval,
};
use tokio_util::sync::CancellationToken;

use self::publisher::Publisher;
use super::{fib::RouteFigures, server::Shared, vpp::Vpp};

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
    /// The four counters of each VIP, by index in the pool.
    vips: BTreeMap<u32, [u64; 4]>,
    /// Traffic to the prefixes of routes.
    to: RouteFigures,
    /// Traffic that the plugin sent through routes.
    via: RouteFigures,
}

impl Figures {
    fn new(vpp: &mut Vpp) -> Self {
        vpp.catch_up();
        Self {
            boot_time: vpp.boot_time,
            heartbeat: vpp.uptime().as_secs() / HEARTBEAT,
            vips: vpp.lb.vips.iter().map(|(index, vip)| (index, vip.counters.packets)).collect(),
            to: vpp.lb.fib.to().clone(),
            via: vpp.lb.fib.via().clone(),
        }
    }
}

/// The stats socket and segment of one run.
#[derive(Debug)]
pub struct StatsServer {
    listener: UnixListener,
    publisher: Publisher,
}

impl StatsServer {
    /// Binds the socket, after creating its directory and removing an old file.
    pub fn bind(path: &Path) -> io::Result<Self> {
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
        Ok(Self { listener, publisher: Publisher::new()? })
    }

    pub async fn run(mut self, shared: Arc<Shared>, ended: CancellationToken) {
        let mut ticks = interval(UPDATE_INTERVAL);
        loop {
            tokio::select! {
                () = ended.cancelled() => return,
                _ = ticks.tick() => self.publish(&shared),
                accepted = self.listener.accept() => {
                    shared.awake().await;
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
        if let Err(error) = self.publisher.publish(&figures) {
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

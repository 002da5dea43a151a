//! The stats segment: a memory file that the stats socket hands out, laid out as VPP lays it out.
//!
//! ```text
//!  client ── stats.sock ── serve ──┐ the descriptor
//!               every 100 ms: World ── Figures ── image ── Publisher ── memory file
//! ```
//!
//! Each run of VPP has a memory file of its own, and the old one stays as it was for those who hold
//! it. Counters are written one by one, in place; where a vector has to grow, everything is laid out
//! anew between `in_progress` and the next epoch, as when VPP moves a vector.

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
use super::{server::Shared, vpp::Vpp};

/// How often the segment is brought up to date.
const EVERY: Duration = Duration::from_millis(100);
/// How often VPP's own figures are: its heartbeat.
const HEARTBEAT: u64 = 10;
/// How many clients may wait to be accepted.
const BACKLOG: i32 = 16;

/// What the segment shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Figures {
    boot_time: u64,
    heartbeat: u64,
    /// Each VIP's four counters by its index in the pool.
    vips: BTreeMap<u32, [u64; 4]>,
    /// Packets and bytes by the index of the route.
    routes: BTreeMap<u32, (u64, u64)>,
}

impl Figures {
    fn of(vpp: &mut Vpp) -> Self {
        vpp.catch_up();
        Self {
            boot_time: vpp.boot_time,
            heartbeat: vpp.uptime().as_secs() / HEARTBEAT,
            vips: vpp.lb.vips.iter().map(|(index, vip)| (index, vip.counters.packets)).collect(),
            routes: vpp.lb.fib.counters().clone(),
        }
    }
}

/// One run's stats socket and segment.
#[derive(Debug)]
pub struct StatsServer {
    listener: UnixListener,
    publisher: Publisher,
}

impl StatsServer {
    /// Binds the socket, whose directory is made and whose old file is replaced.
    pub fn bind(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        super::server::remove_file(path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        bind(&socket, &SocketAddrUnix::new(path)?)?;
        listen(&socket, BACKLOG)?;
        // It does for sockets of the other kind as well, since nothing is read from them.
        let listener = UnixListener::from_std(socket.into())?;
        Ok(Self { listener, publisher: Publisher::new()? })
    }

    /// Serves until `ended`.
    pub async fn run(mut self, shared: Arc<Shared>, ended: CancellationToken) {
        let mut ticks = interval(EVERY);
        loop {
            tokio::select! {
                () = ended.cancelled() => return,
                _ = ticks.tick() => self.publish(&shared),
                accepted = self.listener.accept() => {
                    shared.awake().await;
                    self.publish(&shared);
                    // A client that leaves at once, or one too many: the next may fare better.
                    if let Err(error) = accepted.and_then(|(client, _)| hand_out(&client, self.publisher.file())) {
                        tracing::debug!(%error, "simulated vpp cannot hand out its stats segment");
                    }
                }
            }
        }
    }

    fn publish(&mut self, shared: &Shared) {
        let figures = Figures::of(&mut shared.world().vpp);
        if let Err(error) = self.publisher.publish(&figures) {
            tracing::warn!(%error, "simulated vpp cannot write its stats segment");
        }
    }
}

fn hand_out(client: &UnixStream, file: &OwnedFd) -> io::Result<()> {
    let descriptors = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(client, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

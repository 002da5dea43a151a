//! One socket for all echoes of a family, and who waits for which reply.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nix::errno::Errno;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::{net::UdpSocket, sync::oneshot, task::JoinHandle};

use maglev_model::vip::Family;

use super::packet::{self, Echo};

/// For the replies of some thousand probes that come while this thread does something else; the
/// kernel gives as much of it as `net.core.rmem_max` allows.
const RECEIVE_BUFFER: usize = 4 << 20;

/// A socket and the task that reads it, which ends with it.
#[derive(Debug)]
pub struct EchoSocket {
    family: Family,
    id: u16,
    socket: Arc<UdpSocket>,
    pending: Arc<Mutex<Pending>>,
    reader: Reader,
}

#[derive(Debug)]
struct Reader(JoinHandle<()>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Who waits, by sequence number.
#[derive(Debug, Default)]
struct Pending {
    last: u16,
    waiting: HashMap<u16, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    from: IpAddr,
    nonce: u64,
    reply_tx: oneshot::Sender<()>,
}

/// A reply that is waited for; dropped, it is no longer.
#[derive(Debug)]
pub struct Awaited {
    echo: Echo,
    pending: Arc<Mutex<Pending>>,
    reply_rx: oneshot::Receiver<()>,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let Echo { sequence, nonce, .. } = self.echo;
        let mut pending = lock(&self.pending);
        // The reply may have come, and the number be another's.
        if pending.waiting.get(&sequence).is_some_and(|waiting| waiting.nonce == nonce) {
            pending.waiting.remove(&sequence);
        }
    }
}

impl EchoSocket {
    /// Opens a socket that sends from `source`, or from the address that the kernel chooses.
    ///
    /// # Errors
    /// Those of the kernel: for one that may open neither kind see [`is_missing_capability`].
    pub fn open(family: Family, source: Option<IpAddr>) -> io::Result<Self> {
        let (socket, raw) = either_kind(family)?;
        let source = source.unwrap_or(match family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        });
        socket.bind(&SocketAddr::new(source, 0).into())?;
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        // A datagram socket is bound to its id, as if that were a port.
        let id = match socket.local_addr()?.as_socket() {
            Some(bound) if !raw => bound.port(),
            _ => fastrand::u16(..),
        };
        if raw {
            // It would get everybody's ICMP. What arrived before is sorted out as any other.
            socket.attach_filter(&only_replies(family, id))?;
        }
        // Not UDP, but a datagram socket of another protocol, where ports are 0.
        let socket = Arc::new(UdpSocket::from_std(socket.into())?);
        let pending = Arc::new(Mutex::new(Pending { last: fastrand::u16(..), ..Pending::default() }));
        let with_ip_header = raw && family == Family::V4;
        let reader = read(Arc::clone(&socket), Arc::clone(&pending), (family, with_ip_header), id);
        Ok(Self { family, id, socket, pending, reader: Reader(tokio::spawn(reader)) })
    }

    /// Whether the socket can no longer be read.
    pub fn is_broken(&self) -> bool {
        self.reader.0.is_finished()
    }

    /// Prepares for the reply of `from` to an echo that is sent next. `None` where as many as there are
    /// sequence numbers are under way.
    pub fn expect(&self, from: IpAddr) -> Option<Awaited> {
        let (reply_tx, reply_rx) = oneshot::channel();
        let nonce = fastrand::u64(..);
        let mut pending = lock(&self.pending);
        if pending.waiting.len() > usize::from(u16::MAX) {
            return None;
        }
        let mut sequence = pending.last.wrapping_add(1);
        while pending.waiting.contains_key(&sequence) {
            sequence = sequence.wrapping_add(1);
        }
        pending.last = sequence;
        pending.waiting.insert(sequence, Waiting { from, nonce, reply_tx });
        let echo = Echo { id: self.id, sequence, nonce };
        Some(Awaited { echo, pending: Arc::clone(&self.pending), reply_rx })
    }

    /// Sends the echo that `awaited` waits for.
    ///
    /// # Errors
    /// Those of the kernel, such as a missing route.
    pub async fn send(&self, awaited: &Awaited, to: IpAddr) -> io::Result<()> {
        let packet = packet::request(self.family, awaited.echo);
        self.socket.send_to(&packet, SocketAddr::new(to, 0)).await.map(drop)
    }
}

impl Awaited {
    pub fn echo(&self) -> Echo {
        self.echo
    }

    /// Waits for the reply. False where the socket broke.
    pub async fn reply(&mut self) -> bool {
        (&mut self.reply_rx).await.is_ok()
    }
}

/// Whether this process may not open such a socket: `net.ipv4.ping_group_range` leaves it out, or it
/// lacks `CAP_NET_RAW`.
pub fn is_missing_capability(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EACCES | Errno::EPERM | Errno::EPROTONOSUPPORT))
}

/// Whether a socket of `family` can be opened.
///
/// # Errors
/// See [`EchoSocket::open`].
pub fn may_open(family: Family) -> io::Result<()> {
    either_kind(family).map(drop)
}

/// An unprivileged socket, else a raw one; and whether it is raw.
fn either_kind(family: Family) -> io::Result<(Socket, bool)> {
    match open(family, Type::DGRAM) {
        Err(error) if is_missing_capability(&error) => Ok((open(family, Type::RAW)?, true)),
        opened => Ok((opened?, false)),
    }
}

fn open(family: Family, kind: Type) -> io::Result<Socket> {
    let (domain, protocol) = match family {
        Family::V4 => (Domain::IPV4, Protocol::ICMPV4),
        Family::V6 => (Domain::IPV6, Protocol::ICMPV6),
    };
    Socket::new(domain, kind.nonblocking().cloexec(), Some(protocol))
}

/// A classic BPF program that lets echo replies with `id` pass and nothing else.
fn only_replies(family: Family, id: u16) -> [SockFilter; 7] {
    const LOAD_X_HEADER_LENGTH: u16 = 0xb1;
    const LOAD_X: u16 = 0x01;
    const LOAD_BYTE_AT_X: u16 = 0x50;
    const LOAD_HALF_AT_X: u16 = 0x48;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    // A raw socket of IPv4 sees the IP header, one of IPv6 does not.
    let to_message = match family {
        Family::V4 => SockFilter::new(LOAD_X_HEADER_LENGTH, 0, 0, 0),
        Family::V6 => SockFilter::new(LOAD_X, 0, 0, 0),
    };
    [
        to_message,
        SockFilter::new(LOAD_BYTE_AT_X, 0, 0, 0),
        SockFilter::new(JUMP_IF_EQUAL, 0, 3, packet::types(family).1.into()),
        SockFilter::new(LOAD_HALF_AT_X, 0, 0, 4),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, id.into()),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

/// Gives each reply to who waits for it, until the socket breaks: then nobody waits any longer.
async fn read(socket: Arc<UdpSocket>, pending: Arc<Mutex<Pending>>, (family, header): (Family, bool), id: u16) {
    let mut packet = [0; 256];
    let error = loop {
        let (length, from) = match socket.recv_from(&mut packet).await {
            Ok(received) => received,
            Err(error) => break error,
        };
        let Some(echo) = packet::reply(family, header, &packet[..length]).filter(|echo| echo.id == id) else {
            continue;
        };
        let mut pending = lock(&pending);
        let is_it = |waiting: &Waiting| (waiting.from, waiting.nonce) == (from.ip(), echo.nonce);
        if pending.waiting.get(&echo.sequence).is_some_and(is_it)
            && let Some(waiting) = pending.waiting.remove(&echo.sequence)
        {
            // One that waits no longer is not interested.
            let _ = waiting.reply_tx.send(());
        }
    };
    tracing::warn!(family = family.as_str(), %error, "the socket for ICMP broke; it is opened anew");
    lock(&pending).waiting.clear();
}

/// Nothing can panic while it is locked.
fn lock(pending: &Mutex<Pending>) -> MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The socket for all echoes of a family, and the table of expected replies.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use nix::errno::Errno;
use parking_lot::{Mutex, MutexGuard};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::{net::UdpSocket, sync::oneshot, task::JoinHandle};

use maglev_model::vip::Family;

use super::packet::{self, Echo};

/// Receive buffer in bytes: enough for the replies to some thousand probes that arrive while this thread is busy. The
/// kernel limits the size to `net.core.rmem_max`.
const RECEIVE_BUFFER: usize = 4 << 20;

/// A socket and the task that reads from it. Dropping closes the socket and aborts the task.
#[derive(Debug)]
pub struct EchoSocket {
    family: Family,
    id: u16,
    socket: Arc<UdpSocket>,
    pending: Arc<Mutex<PendingEchoes>>,
    reader: Reader,
}

#[derive(Debug)]
struct Reader(JoinHandle<()>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The expected replies, by sequence number.
#[derive(Debug, Default)]
struct PendingEchoes {
    last_sequence: u16,
    echoes: HashMap<u16, PendingEcho>,
}

#[derive(Debug)]
struct PendingEcho {
    from: IpAddr,
    nonce: u64,
    reply_tx: oneshot::Sender<()>,
}

/// An expected reply. Dropping removes the entry from the table.
#[derive(Debug)]
pub struct ExpectedEcho {
    echo: Echo,
    pending: Arc<Mutex<PendingEchoes>>,
    reply_rx: oneshot::Receiver<()>,
}

impl Drop for ExpectedEcho {
    fn drop(&mut self) {
        let Echo { sequence, nonce, .. } = self.echo;
        let mut pending = lock(&self.pending);
        // After the reply, the sequence number may have been given to another echo.
        if pending.echoes.get(&sequence).is_some_and(|pending| pending.nonce == nonce) {
            pending.echoes.remove(&sequence);
        }
    }
}

impl EchoSocket {
    /// Opens a socket that sends from `source`, or from the address that the kernel chooses.
    ///
    /// # Errors
    /// The kernel's error. [`is_missing_capability`] is true for it if the process may open neither kind of socket.
    pub fn open(family: Family, source: Option<IpAddr>) -> io::Result<Self> {
        let (socket, raw) = open_either_kind(family)?;
        let source = source.unwrap_or(match family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        });
        socket.bind(&SocketAddr::new(source, 0).into())?;
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        // The kernel treats the id of a datagram socket as its port.
        let id = match socket.local_addr()?.as_socket() {
            Some(bound) if !raw => bound.port(),
            _ => fastrand::u16(..),
        };
        if raw {
            // Without a filter, a raw socket receives all ICMP messages of the host. Messages that arrived before are
            // discarded by `read`.
            socket.attach_filter(&reply_filter(family, id))?;
        }
        // Tokio has no type for ICMP. Its UdpSocket works for any datagram socket; the addresses have port 0.
        let socket = Arc::new(UdpSocket::from_std(socket.into())?);
        let pending =
            Arc::new(Mutex::new(PendingEchoes { last_sequence: fastrand::u16(..), ..PendingEchoes::default() }));
        let with_ip_header = raw && family == Family::V4;
        let reader = read(Arc::clone(&socket), Arc::clone(&pending), (family, with_ip_header), id);
        Ok(Self { family, id, socket, pending, reader: Reader(tokio::spawn(reader)) })
    }

    /// True once the socket can no longer be read.
    pub fn has_failed(&self) -> bool {
        self.reader.0.is_finished()
    }

    /// Reserves a sequence number for an echo to `from` and registers the expected reply. `None` if all sequence numbers
    /// are in use.
    pub fn expect(&self, from: IpAddr) -> Option<ExpectedEcho> {
        let (reply_tx, reply_rx) = oneshot::channel();
        let nonce = fastrand::u64(..);
        let mut pending = lock(&self.pending);
        if pending.echoes.len() > usize::from(u16::MAX) {
            return None;
        }
        let mut sequence = pending.last_sequence.wrapping_add(1);
        while pending.echoes.contains_key(&sequence) {
            sequence = sequence.wrapping_add(1);
        }
        pending.last_sequence = sequence;
        pending.echoes.insert(sequence, PendingEcho { from, nonce, reply_tx });
        let echo = Echo { id: self.id, sequence, nonce };
        Some(ExpectedEcho { echo, pending: Arc::clone(&self.pending), reply_rx })
    }

    /// Sends the echo request for `expected`.
    ///
    /// # Errors
    /// The kernel's error, such as a missing route.
    pub async fn send(&self, expected: &ExpectedEcho, to: IpAddr) -> io::Result<()> {
        let packet = packet::request(self.family, expected.echo);
        self.socket.send_to(&packet, SocketAddr::new(to, 0)).await.map(drop)
    }
}

impl ExpectedEcho {
    pub fn echo(&self) -> Echo {
        self.echo
    }

    /// Waits for the reply. Returns false if the socket failed.
    pub async fn reply(&mut self) -> bool {
        (&mut self.reply_rx).await.is_ok()
    }
}

/// True if this process may not open the socket: `net.ipv4.ping_group_range` excludes it from datagram sockets, or it
/// lacks `CAP_NET_RAW` for raw sockets.
pub fn is_missing_capability(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EACCES | Errno::EPERM | Errno::EPROTONOSUPPORT))
}

/// Opens and closes a socket of `family`.
///
/// # Errors
/// See [`EchoSocket::open`].
pub fn try_open(family: Family) -> io::Result<()> {
    open_either_kind(family).map(drop)
}

/// Opens an unprivileged socket or else a raw one. The flag is true for a raw socket.
fn open_either_kind(family: Family) -> io::Result<(Socket, bool)> {
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

/// A classic BPF program that accepts only echo replies with `id`.
fn reply_filter(family: Family, id: u16) -> [SockFilter; 7] {
    const LOAD_X_HEADER_LENGTH: u16 = 0xb1;
    const LOAD_X: u16 = 0x01;
    const LOAD_BYTE_AT_X: u16 = 0x50;
    const LOAD_HALF_AT_X: u16 = 0x48;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    // A raw IPv4 socket receives the IP header, a raw IPv6 socket does not.
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

/// Delivers each reply to its [`ExpectedEcho`], until the socket fails: then all expected replies end.
async fn read(socket: Arc<UdpSocket>, pending: Arc<Mutex<PendingEchoes>>, (family, header): (Family, bool), id: u16) {
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
        let matches = |expected: &PendingEcho| (expected.from, expected.nonce) == (from.ip(), echo.nonce);
        if pending.echoes.get(&echo.sequence).is_some_and(matches)
            && let Some(expected) = pending.echoes.remove(&echo.sequence)
        {
            // Fails if the probe has ended meanwhile.
            let _ = expected.reply_tx.send(());
        }
    };
    tracing::warn!(family = family.as_str(), %error, "the socket for ICMP failed and is reopened");
    lock(&pending).echoes.clear();
}

/// Nothing can panic while it is locked.
fn lock(pending: &Mutex<PendingEchoes>) -> MutexGuard<'_, PendingEchoes> {
    pending.lock()
}

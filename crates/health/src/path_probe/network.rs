//! The raw sockets of path probes, and the interface that tests replace.
//!
//! A server answers to this node's address, where no socket of the kernel has begun a connection. The kernel would answer
//! with a reset to the VIP, which a router would send through VPP: a needless packet, counted there and pinned to a backend.
//! So the port is held by a listening socket whose filter drops every segment: the kernel discards the answers without a
//! reset, no connection can be opened, and no other socket gets the port. The raw socket receives its own copy before.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdUdpSocket},
    task::{Context, Poll},
};

use nix::errno::Errno;
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::{io::ReadBuf, net::UdpSocket};

use super::packet::{self, Flow, Reply};
use crate::{per_family::PerFamily, probe_icmp::is_missing_capability};
use maglev_model::vip::Family;

/// IP protocol number of GRE.
const GRE: i32 = 47;
/// Time to live of outer packets, as VPP sets it.
const OUTER_HOP_LIMIT: u32 = 128;
/// Any port; nothing is sent to it.
const DISCARD_PORT: u16 = 9;

/// The reason why a packet was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The packet with its encapsulation exceeds the MTU of the route.
    TooLarge,
    /// Any other reason, human-readable.
    Other(String),
}

/// Sends packets to backends, and receives the answers of VIPs.
pub trait PathNetwork {
    /// The flow of a probe of `vip` at `backend`. `source` returns the configured source address of a family.
    ///
    /// # Errors
    /// Human-readable reason: a missing capability, or no route.
    fn flow(
        &mut self,
        backend: IpAddr,
        vip: SocketAddr,
        source: &dyn Fn(Family) -> Option<IpAddr>,
    ) -> Result<Flow, String>;

    /// Sends `packet`, which begins with a GRE header, to the backend of `flow`.
    ///
    /// # Errors
    /// The packet is too large, or the kernel's error.
    fn send(&mut self, flow: &Flow, packet: &[u8]) -> Result<(), SendError>;

    /// Returns the next answer and its source address. Pending if there is none, now or ever.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<(IpAddr, Reply)>;
}

/// The raw sockets of production, opened on first use.
#[derive(Debug, Default)]
pub struct RawSockets {
    /// By the family of VIPs.
    receivers: PerFamily<Option<Receiver>>,
    /// By the family of backends.
    senders: PerFamily<Option<Sender>>,
}

/// Receives the answers of one family.
#[derive(Debug)]
struct Receiver {
    socket: UdpSocket,
    port: u16,
    /// Holds the port and keeps the kernel from answering.
    _holder: Socket,
}

#[derive(Debug)]
struct Sender {
    source: Option<IpAddr>,
    socket: Socket,
}

impl PathNetwork for RawSockets {
    fn flow(
        &mut self,
        backend: IpAddr,
        vip: SocketAddr,
        source: &dyn Fn(Family) -> Option<IpAddr>,
    ) -> Result<Flow, String> {
        let (outer, inner) = (Family::from_address(backend), Family::from_address(vip.ip()));
        let port = self.port(inner).map_err(|error| cannot_open(&error))?;
        self.open_sender(outer, source(outer)).map_err(|error| cannot_open(&error))?;
        // With a VIP of another family, the default route decides, as for other clients.
        let toward = if outer == inner { backend } else { vip.ip() };
        let address = match source(inner) {
            Some(address) => address,
            None => source_toward(toward).map_err(|error| {
                format!("this node has no {} address to receive the answer of the VIP: {error}", inner.as_str())
            })?,
        };
        Ok(Flow { backend, source: SocketAddr::new(address, port), vip })
    }

    fn send(&mut self, flow: &Flow, packet: &[u8]) -> Result<(), SendError> {
        let Some(sender) = &self.senders[Family::from_address(flow.backend)] else {
            return Err(SendError::Other("no socket to send from".to_owned()));
        };
        match sender.socket.send_to(packet, &SocketAddr::new(flow.backend, 0).into()) {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error() == Some(Errno::EMSGSIZE as i32) => Err(SendError::TooLarge),
            Err(error) => Err(SendError::Other(format!("cannot send to {}: {error}", flow.backend))),
        }
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<(IpAddr, Reply)> {
        for family in [Family::V4, Family::V6] {
            let Some(receiver) = &self.receivers[family] else { continue };
            match receiver.poll(family, context) {
                Poll::Ready(Ok(received)) => return Poll::Ready(received),
                Poll::Ready(Err(error)) => {
                    tracing::warn!(family = family.as_str(), %error, "the socket for path probes failed and is reopened");
                    self.receivers[family] = None;
                }
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }
}

impl RawSockets {
    /// The reserved port of a family. Opens the receiver if there is none.
    fn port(&mut self, family: Family) -> io::Result<u16> {
        let receiver = match self.receivers[family].take() {
            Some(receiver) => receiver,
            None => Receiver::open(family)?,
        };
        let port = receiver.port;
        self.receivers[family] = Some(receiver);
        Ok(port)
    }

    fn open_sender(&mut self, family: Family, source: Option<IpAddr>) -> io::Result<()> {
        if self.senders[family].as_ref().is_none_or(|sender| sender.source != source) {
            self.senders[family] = Some(Sender::open(family, source)?);
        }
        Ok(())
    }
}

impl Receiver {
    fn open(family: Family) -> io::Result<Self> {
        let socket = open(family, Type::RAW, Protocol::TCP)?;
        let holder = open(family, Type::STREAM, Protocol::TCP)?;
        if family == Family::V6 {
            holder.set_only_v6(true)?;
        }
        holder.bind(&SocketAddr::new(unspecified(family), 0).into())?;
        holder.attach_filter(&drop_all())?;
        holder.listen(1)?;
        let port = holder.local_addr()?.as_socket().map_or(0, |address| address.port());
        socket.attach_filter(&answers_to(family, port))?;
        // Tokio has no type for raw sockets. Its UdpSocket works for any datagram socket.
        Ok(Self { socket: UdpSocket::from_std(socket.into())?, port, _holder: holder })
    }

    /// Receives the next answer to a SYN. Skips other packets.
    fn poll(&self, family: Family, context: &mut Context<'_>) -> Poll<io::Result<(IpAddr, Reply)>> {
        // The option MSS is in the first 60 bytes of the segment.
        let mut packet = [0; 128];
        loop {
            let mut buffer = ReadBuf::new(&mut packet);
            match self.socket.poll_recv_from(context, &mut buffer) {
                Poll::Ready(Ok(from)) => {
                    if let Some(reply) = packet::reply(family, buffer.filled()) {
                        return Poll::Ready(Ok((from.ip(), reply)));
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Sender {
    fn open(family: Family, source: Option<IpAddr>) -> io::Result<Self> {
        let socket = open(family, Type::RAW, Protocol::from(GRE))?;
        // It would receive all GRE packets of the host.
        socket.attach_filter(&drop_all())?;
        match family {
            // As VPP: outer packets of IPv4 may be fragmented on the way, those of IPv6 are not.
            Family::V4 => {
                socket.set_ttl_v4(OUTER_HOP_LIMIT)?;
                set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DONT)?;
            }
            Family::V6 => {
                socket.set_unicast_hops_v6(OUTER_HOP_LIMIT)?;
                set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::DO)?;
            }
        }
        socket.bind(&SocketAddr::new(source.unwrap_or(unspecified(family)), 0).into())?;
        Ok(Self { source, socket })
    }
}

fn open(family: Family, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let domain = match family {
        Family::V4 => Domain::IPV4,
        Family::V6 => Domain::IPV6,
    };
    Socket::new(domain, kind.nonblocking().cloexec(), Some(protocol))
}

fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// The source address that the kernel chooses for packets to `address`.
fn source_toward(address: IpAddr) -> io::Result<IpAddr> {
    let socket = StdUdpSocket::bind(SocketAddr::new(unspecified(Family::from_address(address)), 0))?;
    socket.connect(SocketAddr::new(address, DISCARD_PORT))?;
    Ok(socket.local_addr()?.ip())
}

fn cannot_open(error: &io::Error) -> String {
    let hint = if is_missing_capability(error) { ": this needs the capability NET_RAW" } else { "" };
    format!("cannot open a raw socket: {error}{hint}")
}

/// A classic BPF program that drops every packet.
fn drop_all() -> [SockFilter; 1] {
    const RETURN: u16 = 0x06;
    [SockFilter::new(RETURN, 0, 0, 0)]
}

/// A classic BPF program that accepts only segments to `port` with ACK, and with SYN or RST.
fn answers_to(family: Family, port: u16) -> [SockFilter; 8] {
    const LOAD_X_HEADER_LENGTH: u16 = 0xb1;
    const LOAD_X: u16 = 0x01;
    const LOAD_BYTE_AT_X: u16 = 0x50;
    const LOAD_HALF_AT_X: u16 = 0x48;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const JUMP_IF_ANY_BIT: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const ACK: u32 = 0x10;
    const SYN_OR_RST: u32 = 0x06;
    // A raw IPv4 socket receives the IP header, a raw IPv6 socket does not.
    let to_segment = match family {
        Family::V4 => SockFilter::new(LOAD_X_HEADER_LENGTH, 0, 0, 0),
        Family::V6 => SockFilter::new(LOAD_X, 0, 0, 0),
    };
    [
        to_segment,
        SockFilter::new(LOAD_HALF_AT_X, 0, 0, 2),
        SockFilter::new(JUMP_IF_EQUAL, 0, 4, port.into()),
        SockFilter::new(LOAD_BYTE_AT_X, 0, 0, 13),
        SockFilter::new(JUMP_IF_ANY_BIT, 0, 2, ACK),
        SockFilter::new(JUMP_IF_ANY_BIT, 0, 1, SYN_OR_RST),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

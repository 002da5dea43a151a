//! Packets in tunnels from the agents to the backends: path probes. The agents run in the host's namespace and have loopback
//! addresses, which mean the namespace itself in every namespace. So the sources of packets to the backends are translated, and
//! the destinations of the answers back.
//!
//! ```text
//!  agent 127.0.Y.Z ─GRE─▶ raw socket ─▶ source 10.126.Y.Z ─▶ tun of a backend
//!        ▲                                                       │
//!        └── raw socket ◀─ destination 127.0.Y.Z ◀── answer ─────┘
//! ```

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use etherparse::{IpNumber, IpSlice, Ipv4HeaderSlice};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::header::{destination, inside_gre, replaced};
use super::router::Backends;

/// Size of the buffer for one packet.
const BUFFER: usize = 1 << 16;
/// Position of the checksum in the TCP header.
const TCP_CHECKSUM: usize = 16;
/// Positions of source and destination in the IPv4 header.
const SOURCE: usize = 12;
const DESTINATION: usize = 16;

/// Receives the packets of the agents in tunnels.
pub struct NodeTunnels {
    socket: UdpSocket,
}

/// Returns answers to the agents.
#[derive(Debug)]
pub struct NodeAnswers {
    socket: Socket,
}

impl NodeTunnels {
    /// Opens the socket in the namespace of the calling thread. It receives a copy of every GRE packet to this host.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn open() -> io::Result<Self> {
        let gre = Protocol::from(i32::from(IpNumber::GRE.0));
        let socket = Socket::new(Domain::IPV4, Type::RAW.nonblocking().cloexec(), Some(gre))?;
        // Tokio has no type for raw sockets. Its UdpSocket works for any datagram socket.
        Ok(Self { socket: UdpSocket::from_std(socket.into())? })
    }

    /// Passes packets to the backends.
    pub async fn run(self, backends: Arc<Backends>) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let (length, _) = self.socket.recv_from(&mut buffer).await?;
            let packet = &buffer[..length];
            let backend = destination(packet).and_then(|address| backends.get(&address));
            if let (Some(backend), Some(inner)) = (backend, inside(packet)) {
                backend.deliver_inner(&inner).await;
            }
        }
    }
}

impl NodeAnswers {
    /// # Errors
    /// The kernel's error.
    pub fn open() -> io::Result<Self> {
        // IPPROTO_RAW: sends whole packets and receives none.
        let raw = Protocol::from(255);
        let socket = Socket::new(Domain::IPV4, Type::RAW.nonblocking().cloexec(), Some(raw))?;
        Ok(Self { socket })
    }

    /// Passes a packet to an agent. Returns false if its destination is no translated address.
    pub fn deliver(&self, packet: &[u8]) -> bool {
        let Some(IpAddr::V4(node)) = destination(packet) else { return false };
        let (Some(address), Some(packet)) = (original(node), with_address(packet, DESTINATION, original)) else {
            return false;
        };
        if let Err(error) = self.socket.send_to(&packet, &SocketAddr::new(address.into(), 0).into()) {
            tracing::debug!(%address, %error, "cannot return a packet to an agent");
        }
        true
    }
}

/// The packet inside GRE from an agent, with a translated source.
fn inside(packet: &[u8]) -> Option<Vec<u8>> {
    let ip = IpSlice::from_slice(packet).ok()?;
    let inner = inside_gre(ip.payload().ip_number, ip.payload().payload)?;
    with_address(&inner, SOURCE, translated)
}

/// 10.126.Y.Z for 127.0.Y.Z.
fn translated(address: Ipv4Addr) -> Option<Ipv4Addr> {
    match address.octets() {
        [127, 0, y, z] => Some(Ipv4Addr::new(10, 126, y, z)),
        _ => None,
    }
}

/// 127.0.Y.Z for 10.126.Y.Z.
fn original(address: Ipv4Addr) -> Option<Ipv4Addr> {
    match address.octets() {
        [10, 126, y, z] => Some(Ipv4Addr::new(127, 0, y, z)),
        _ => None,
    }
}

/// The TCP packet with another address at `position`, and the checksums for it.
fn with_address(packet: &[u8], position: usize, new: impl Fn(Ipv4Addr) -> Option<Ipv4Addr>) -> Option<Vec<u8>> {
    let header = Ipv4HeaderSlice::from_slice(packet).ok().filter(|header| header.protocol() == IpNumber::TCP)?;
    let length = header.slice().len();
    let mut packet = packet.to_vec();
    let old: [u8; 4] = *packet.get(position..)?.first_chunk()?;
    let new = new(old.into())?.octets();
    packet[position..position + 4].copy_from_slice(&new);
    let checksum = packet.get_mut(length + TCP_CHECKSUM..)?.first_chunk_mut::<2>()?;
    *checksum = replaced(*checksum, old, new);
    let checksum = packet.get_mut(10..)?.first_chunk_mut::<2>()?;
    *checksum = replaced(*checksum, old, new);
    Some(packet)
}

#[cfg(test)]
mod tests {
    use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};

    use super::*;

    fn tcp(source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let mut packet = Vec::new();
        PacketBuilder::ipv4(source, destination, 64).tcp(40000, 80, 7, 100).syn().write(&mut packet, b"abc").unwrap();
        packet
    }

    #[test]
    fn addresses_are_translated_there_and_back_with_valid_checksums() {
        const VIP: [u8; 4] = [203, 0, 113, 10];
        let there = with_address(&tcp([127, 0, 1, 3], VIP), SOURCE, translated).unwrap();
        assert_eq!(there, tcp([10, 126, 1, 3], VIP));
        let back = with_address(&tcp(VIP, [10, 126, 1, 3]), DESTINATION, original).unwrap();
        assert_eq!(back, tcp(VIP, [127, 0, 1, 3]));
        let sliced = SlicedPacket::from_ip(&back).unwrap();
        assert!(matches!(sliced.transport, Some(TransportSlice::Tcp(_))));
        assert_eq!(with_address(&tcp([192, 0, 2, 1], VIP), SOURCE, translated), None);
        assert_eq!(with_address(&back[..30], DESTINATION, original), None);
    }
}

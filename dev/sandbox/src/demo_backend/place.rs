//! The place of a server: its address and, for a VIP, the network namespace of the backend.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket, UdpSocket};

use crate::packets::Namespace;

/// Maximum number of connections that wait to be accepted.
const BACKLOG: u32 = 4096;

#[derive(Clone, Debug)]
pub struct Place {
    pub address: SocketAddr,
    /// The namespace; `None` for the host's.
    pub namespace: Option<Namespace>,
}

impl Place {
    pub async fn listen(&self) -> io::Result<TcpListener> {
        let address = self.address;
        match &self.namespace {
            None => listen(address),
            Some(namespace) => namespace.run(move || listen(address)).await,
        }
    }

    pub async fn bind_udp(&self) -> io::Result<UdpSocket> {
        let address = self.address;
        let bind = move || {
            let socket = std::net::UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(socket)
        };
        match &self.namespace {
            None => bind(),
            Some(namespace) => namespace.run(bind).await,
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

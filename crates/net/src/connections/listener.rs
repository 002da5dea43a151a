//! A listening socket of a server.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::yield_now,
    time::sleep,
};

use super::{Connection, Connections, Refusal};
use crate::Backoff;

const MIN_DELAY: Duration = Duration::from_millis(500);
const MAX_DELAY: Duration = Duration::from_secs(30);
/// Delay after a failed accept, for example for lack of file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// Connections that the kernel holds before they are accepted. With few, a flood makes it drop the SYNs of other clients,
/// which repeat them after a second.
const BACKLOG: u32 = 4096;
/// Size of the kernel's buffers for one connection in bytes. The kernel would otherwise enlarge them to megabytes for a
/// peer that does not read.
const SEND_BUFFER: u32 = 256 << 10;
const RECEIVE_BUFFER: u32 = 64 << 10;

/// A listening socket, which accepts connections within the limits of its server.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    connections: Connections,
}

impl Listener {
    /// Binds `address`. A failure (usually an address in use) is logged and retried after 0.5 s to 30 s: a program whose
    /// predecessor has not ended yet must not give up.
    pub async fn bind(address: SocketAddr, connections: Connections) -> Self {
        let (mut backoff, server) = (Backoff::new(MIN_DELAY, MAX_DELAY), connections.server());
        loop {
            match listen(address) {
                Ok(socket) => return Self { socket, connections },
                Err(error) => {
                    let delay = backoff.next_delay();
                    tracing::error!(server, %address, %error, retry_s = delay.as_secs_f64(), "cannot listen");
                    sleep(delay).await;
                }
            }
        }
    }

    /// The bound address, with the assigned port in place of 0.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    /// The connections of the server.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// The next connection within the limits. Other connections are reset.
    pub async fn accept(&self) -> Connection {
        // The connection that was accepted before can read its request before another connection displaces it.
        yield_now().await;
        loop {
            match self.socket.accept().await {
                Ok((stream, peer)) => {
                    if let Some(connection) = self.admit(stream, peer) {
                        return connection;
                    }
                }
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    tracing::debug!(server = self.connections.server(), %error, "accept failed");
                    let any = SocketAddr::from(([0, 0, 0, 0], 0));
                    self.connections.refused(Refusal::AcceptFailed, any);
                    sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr) -> Option<Connection> {
        match self.connections.admit(peer, stream.local_addr().ok()) {
            Ok(handle) => {
                // Small responses are sent without delay.
                let _ = stream.set_nodelay(true);
                Some(Connection::new(stream, handle))
            }
            Err(_) => {
                // A reset leaves nothing behind in the kernel.
                let _ = stream.set_zero_linger();
                None
            }
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit the sizes.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// True if the error concerns one connection that has ended already.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConnectionLimits, ConnectionMetrics};

    fn connections() -> Connections {
        Connections::new("test", ConnectionLimits::METRICS, ConnectionMetrics::new("test"))
    }

    #[tokio::test]
    async fn an_address_in_use_is_bound_once_it_is_free() {
        let first = Listener::bind(([127, 0, 0, 1], 0).into(), connections()).await;
        let address = first.local_addr().unwrap();
        let second = tokio::spawn(Listener::bind(address, connections()));
        drop(first);
        let listener = tokio::time::timeout(Duration::from_secs(30), second).await.unwrap().unwrap();
        assert_eq!(listener.local_addr().unwrap(), address);
    }
}

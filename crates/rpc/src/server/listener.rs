//! One address: listening, again and again where the port is in use, and connections, no more than there are slots.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tonic::transport::server::Connected;

use super::Metrics;

const MAX_DELAY: Duration = Duration::from_secs(30);
/// After an accept that failed, as for want of descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// An address to listen at.
pub struct Listener {
    address: SocketAddr,
    slots: Arc<Semaphore>,
    metrics: Metrics,
    bound: Arc<watch::Sender<Vec<SocketAddr>>>,
}

impl Listener {
    pub fn new(
        address: SocketAddr,
        slots: Arc<Semaphore>,
        metrics: Metrics,
        bound: Arc<watch::Sender<Vec<SocketAddr>>>,
    ) -> Self {
        Self { address, slots, metrics, bound }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Binds, trying until that works, and returns the connections that come. One for which there is no slot is
    /// closed at once.
    pub async fn listen(self) -> impl Stream<Item = io::Result<Connection>> + Send {
        let socket = self.bind().await;
        stream::unfold((socket, self), async |(socket, this)| {
            let connection = this.accept(&socket).await;
            Some((Ok(connection), (socket, this)))
        })
    }

    async fn bind(&self) -> TcpListener {
        let mut delays = delays();
        loop {
            match TcpListener::bind(self.address).await {
                Ok(socket) => {
                    self.bound.send_modify(|bound| bound.extend(socket.local_addr().ok()));
                    return socket;
                }
                Err(err) => {
                    let delay = delays.next().unwrap_or(MAX_DELAY);
                    let retry_s = delay.as_secs_f64();
                    tracing::error!(address = %self.address, %err, retry_s, "grpc-listen-failed");
                    tokio::time::sleep(delay).await;
                }
            }
        }
    }

    async fn accept(&self, socket: &TcpListener) -> Connection {
        loop {
            match socket.accept().await {
                Ok((stream, peer)) => match Arc::clone(&self.slots).try_acquire_owned() {
                    Ok(slot) => {
                        // Small answers are not to wait for more.
                        let _ = stream.set_nodelay(true);
                        self.metrics.connections.inc();
                        return Connection { stream, metrics: self.metrics.clone(), _slot: slot };
                    }
                    Err(_) => {
                        self.metrics.refused.inc();
                        tracing::debug!(%peer, "grpc-connection-refused");
                    }
                },
                Err(err) => {
                    tracing::debug!(%err, "grpc-accept-failed");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }
}

fn delays() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(MAX_DELAY)
        .without_max_times()
        .build()
}

/// A connection, and the slot that it takes while it lasts.
pub struct Connection {
    stream: TcpStream,
    metrics: Metrics,
    _slot: OwnedSemaphorePermit,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}

impl Connected for Connection {
    type ConnectInfo = <TcpStream as Connected>::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

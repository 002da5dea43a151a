//! One address: binds, with retries while the port is in use, and accepts at most as many connections as there are
//! slots.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tonic::transport::server::Connected;

use super::GrpcMetrics;

/// Delay after a failed accept, for example for lack of file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

pub struct Listener {
    address: SocketAddr,
    slots: Arc<Semaphore>,
    metrics: GrpcMetrics,
    bound: Arc<watch::Sender<Vec<SocketAddr>>>,
}

impl Listener {
    pub fn new(
        address: SocketAddr,
        slots: Arc<Semaphore>,
        metrics: GrpcMetrics,
        bound: Arc<watch::Sender<Vec<SocketAddr>>>,
    ) -> Self {
        Self { address, slots, metrics, bound }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Binds, with retries, and returns the accepted connections. A connection without a slot is closed at once.
    pub async fn listen(self) -> impl Stream<Item = io::Result<Connection>> + Send {
        let socket = self.bind().await;
        stream::unfold((socket, self), async |(socket, this)| {
            let connection = this.accept(&socket).await;
            Some((Ok(connection), (socket, this)))
        })
    }

    async fn bind(&self) -> TcpListener {
        let listener = maglev_net::bind(self.address, "gRPC").await;
        self.bound.send_modify(|bound| bound.extend(listener.local_addr().ok()));
        listener
    }

    async fn accept(&self, socket: &TcpListener) -> Connection {
        loop {
            match socket.accept().await {
                Ok((stream, peer)) => match Arc::clone(&self.slots).try_acquire_owned() {
                    Ok(slot) => {
                        // Small responses are sent without delay.
                        let _ = stream.set_nodelay(true);
                        self.metrics.connections.inc();
                        return Connection { stream, metrics: self.metrics.clone(), _slot: slot };
                    }
                    Err(_) => {
                        self.metrics.refused.inc();
                        tracing::debug!(%peer, "grpc connection refused");
                    }
                },
                Err(error) => {
                    tracing::debug!(%error, "grpc accept failed");
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
    }
}

/// A connection and its slot.
pub struct Connection {
    stream: TcpStream,
    metrics: GrpcMetrics,
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

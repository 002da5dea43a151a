//! The connections of the server as tonic accepts them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{Stream, stream};
use maglev_net::{Connection, ConnectionHandle, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// The connections that a listener accepts.
pub fn connections(listener: Listener) -> impl Stream<Item = io::Result<GrpcConnection>> + Send {
    stream::unfold(listener, async |listener| {
        let connection = GrpcConnection(listener.accept().await);
        Some((Ok(connection), listener))
    })
}

/// Marks the connection of a request as one with a request. A connection of HTTP/2 never waits for requests again: pings
/// keep it open.
pub fn mark_connection<B>(request: http::Request<B>) -> http::Request<B> {
    if let Some(connection) = request.extensions().get::<ConnectionHandle>() {
        connection.request_started();
    }
    request
}

/// A connection whose requests have its [`ConnectionHandle`] in their extensions.
pub struct GrpcConnection(Connection);

impl Connected for GrpcConnection {
    type ConnectInfo = ConnectionHandle;

    fn connect_info(&self) -> ConnectionHandle {
        self.0.handle().clone()
    }
}

impl AsyncRead for GrpcConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for GrpcConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

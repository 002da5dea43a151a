//! The connections of the server as tonic accepts them.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::{Stream, stream};
use maglev_net::{Connection, ConnectionHandle, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{Accept, TlsAcceptor, rustls::ServerConfig, server::TlsStream};
use tonic::transport::server::Connected;

/// Encryption of the connections of a listener.
#[derive(Clone)]
pub enum Encryption {
    None,
    Tls(Arc<ServerConfig>),
}

/// The connections that a listener accepts.
pub fn connections(
    listener: Listener,
    encryption: Encryption,
) -> impl Stream<Item = io::Result<GrpcConnection>> + Send {
    stream::unfold((listener, encryption), async |(listener, encryption)| {
        let connection = GrpcConnection::new(listener.accept().await, &encryption);
        Some((Ok(connection), (listener, encryption)))
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
///
/// The first read or write carries out the TLS handshake, so that it neither delays other connections nor escapes the
/// limits: until its first request has arrived, the connection has the time limit of headers, and another one can displace
/// it.
pub struct GrpcConnection {
    handle: ConnectionHandle,
    transport: Transport,
}

enum Transport {
    Plain(Connection),
    Accepting(Box<Accept<Connection>>),
    Tls(Box<TlsStream<Connection>>),
    /// The handshake failed.
    Failed,
}

/// A transport that can be read and written.
trait Duplex: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

impl GrpcConnection {
    fn new(connection: Connection, encryption: &Encryption) -> Self {
        let handle = connection.handle().clone();
        let transport = match encryption {
            Encryption::None => Transport::Plain(connection),
            Encryption::Tls(config) => {
                Transport::Accepting(Box::new(TlsAcceptor::from(Arc::clone(config)).accept(connection)))
            }
        };
        Self { handle, transport }
    }

    /// The transport, once the handshake is complete.
    fn poll_transport(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut dyn Duplex>>> {
        if let Transport::Accepting(accept) = &mut self.transport {
            match ready!(Pin::new(accept.as_mut()).poll(cx)) {
                Ok(stream) => self.transport = Transport::Tls(Box::new(stream)),
                Err(error) => {
                    tracing::debug!(peer = %self.handle.peer(), %error, "TLS handshake failed");
                    self.transport = Transport::Failed;
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(match &mut self.transport {
            Transport::Plain(connection) => Ok(Pin::new(connection)),
            Transport::Tls(stream) => Ok(Pin::new(stream.as_mut())),
            Transport::Accepting(_) | Transport::Failed => Err(io::ErrorKind::NotConnected.into()),
        })
    }
}

impl Connected for GrpcConnection {
    type ConnectInfo = ConnectionHandle;

    fn connect_info(&self) -> ConnectionHandle {
        self.handle.clone()
    }
}

impl AsyncRead for GrpcConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_transport(cx))?.poll_read(cx, buf)
    }
}

impl AsyncWrite for GrpcConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_transport(cx))?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_transport(cx))?.poll_write_vectored(cx, bufs)
    }

    /// Both transports use all buffers.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_transport(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(connection) => Pin::new(connection).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            // Nothing was sent that has to be ended.
            Transport::Accepting(_) | Transport::Failed => Poll::Ready(Ok(())),
        }
    }
}

//! An accepted connection that closes itself at its deadlines.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use super::{ConnectionHandle, Cut, handle::Phase};

/// A connection and its place in the table of connections. Reads and writes fail at the deadlines.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    handle: ConnectionHandle,
    /// Time of the last byte in either direction.
    active: Instant,
    /// Time of the first byte of a header.
    header_began: Instant,
    /// Time of the first write that the peer did not accept.
    blocked: Option<Instant>,
    read_timer: Pin<Box<Sleep>>,
    write_timer: Pin<Box<Sleep>>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, handle: ConnectionHandle) -> Self {
        let (now, limits) = (Instant::now(), handle.connections().limits());
        let read_timer = Box::pin(sleep_until(now + limits.header_timeout));
        let write_timer = Box::pin(sleep_until(now + limits.write_timeout));
        Self { stream, handle, active: now, header_began: now, blocked: None, read_timer, write_timer }
    }

    /// The part of the connection that requests know.
    pub fn handle(&self) -> &ConnectionHandle {
        &self.handle
    }

    fn received(&mut self) {
        self.active = Instant::now();
        if self.handle.state().phase() == Phase::Waiting {
            self.header_began = self.active;
            self.handle.state().set_phase(Phase::Header);
        }
    }

    /// The time at which a read fails if no byte arrives.
    fn read_deadline(&self) -> (Instant, Cut) {
        let limits = self.handle.connections().limits();
        match self.handle.state().phase() {
            Phase::First => (self.handle.accepted() + limits.header_timeout, Cut::HeaderTimeout),
            Phase::Header => (self.header_began + limits.header_timeout, Cut::HeaderTimeout),
            Phase::Waiting | Phase::Request => (self.active + limits.idle_timeout, Cut::IdleTimeout),
        }
    }

    fn poll_read_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (deadline, cut) = self.read_deadline();
        ready!(poll_deadline(self.read_timer.as_mut(), deadline, cx));
        Poll::Ready(Err(self.cut(cut)))
    }

    fn poll_write_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let blocked = *self.blocked.get_or_insert_with(Instant::now);
        let deadline = blocked + self.handle.connections().limits().write_timeout;
        ready!(poll_deadline(self.write_timer.as_mut(), deadline, cx));
        Poll::Ready(Err(self.cut(Cut::WriteTimeout)))
    }

    fn check_open(&self, cx: &Context<'_>) -> io::Result<()> {
        self.handle.state().cut(cx.waker()).map_or(Ok(()), |cut| Err(self.cut(cut)))
    }

    /// The error of a connection that a limit closes. The kernel then discards what it buffers for the peer.
    fn cut(&self, cut: Cut) -> io::Error {
        let _ = self.stream.set_zero_linger();
        self.handle.connections().cut(cut, self.handle.peer());
        io::Error::new(io::ErrorKind::TimedOut, cut.as_str())
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.check_open(cx)?;
        let Poll::Ready(written) = write(Pin::new(&mut self.stream), cx) else { return self.poll_write_deadline(cx) };
        (self.blocked, self.active) = (None, Instant::now());
        Poll::Ready(written)
    }
}

/// Ready at `deadline`. The timer may be set to an earlier time: it is moved when it ends, not at each deadline.
fn poll_deadline(mut timer: Pin<&mut Sleep>, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
    if timer.deadline() > deadline {
        timer.as_mut().reset(deadline);
    }
    ready!(timer.as_mut().poll(cx));
    if Instant::now() >= deadline {
        return Poll::Ready(());
    }
    timer.as_mut().reset(deadline);
    timer.poll(cx)
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.handle.closed();
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_open(cx)?;
        let before = buf.filled().len();
        let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, buf) else {
            return this.poll_read_deadline(cx);
        };
        if buf.filled().len() > before {
            this.received();
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_with(cx, |stream, cx| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_with(cx, |stream, cx| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

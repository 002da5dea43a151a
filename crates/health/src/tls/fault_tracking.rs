//! A TLS connection that records failures of TLS after the handshake: with TLS 1.3, a server rejects a client certificate
//! only then.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use super::explain::explain;
use crate::prober::ProbeOutcome;
use maglev_model::health::ProbeCode;

pub struct FaultTrackingStream {
    stream: TlsStream<TcpStream>,
    fault: TlsFault,
}

/// The first failure of TLS, if any. Shared with the connection.
#[derive(Clone, Default)]
pub struct TlsFault(Rc<RefCell<Option<String>>>);

impl FaultTrackingStream {
    pub fn new(stream: TlsStream<TcpStream>) -> (Self, TlsFault) {
        let fault = TlsFault::default();
        (Self { stream, fault: fault.clone() }, fault)
    }

    fn record_fault<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &polled
            && let Some(tls) = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>())
        {
            self.fault.0.borrow_mut().get_or_insert_with(|| explain(tls));
        }
        polled
    }
}

impl TlsFault {
    /// Changes the outcome of a failed exchange without a response to `L6RSP` if TLS failed.
    pub fn attribute(&self, outcome: ProbeOutcome) -> ProbeOutcome {
        match (&*self.0.borrow(), &outcome) {
            (Some(fault), ProbeOutcome::Completed { code: ProbeCode::L7Response, .. }) => {
                ProbeOutcome::completed(ProbeCode::L6Response, format!("TLS failed after the handshake: {fault}"))
            }
            _ => outcome,
        }
    }
}

impl AsyncRead for FaultTrackingStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.record_fault(polled)
    }
}

impl AsyncWrite for FaultTrackingStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.record_fault(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.record_fault(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.record_fault(polled)
    }
}

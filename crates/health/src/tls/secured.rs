//! A TLS connection that remembers whether TLS itself failed after the handshake: with TLS 1.3 a server
//! refuses a client's certificate only then.

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

use crate::prober::Outcome;
use maglev_model::health::ProbeCode;

pub struct Secured {
    stream: TlsStream<TcpStream>,
    fault: Fault,
}

/// Why TLS failed, once it did.
#[derive(Clone, Default)]
pub struct Fault(Rc<RefCell<Option<String>>>);

impl Secured {
    /// The connection, and where it is told that TLS failed.
    pub fn new(stream: TlsStream<TcpStream>) -> (Self, Fault) {
        let fault = Fault::default();
        (Self { stream, fault: fault.clone() }, fault)
    }

    fn note<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &polled
            && let Some(tls) = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>())
        {
            self.fault.0.borrow_mut().get_or_insert_with(|| tls.to_string());
        }
        polled
    }
}

impl Fault {
    /// How the probe ended: of an exchange that has no response, TLS is the layer that failed if it did.
    pub fn blame(&self, ended: Result<Outcome, Outcome>) -> Result<Outcome, Outcome> {
        ended.map_err(|outcome| match (&*self.0.borrow(), &outcome) {
            (Some(fault), Outcome::Answer { code: ProbeCode::L7Response, .. }) => {
                Outcome::answer(ProbeCode::L6Response, format!("TLS failed after the handshake: {fault}"))
            }
            _ => outcome,
        })
    }
}

impl AsyncRead for Secured {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.note(polled)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.note(polled)
    }
}

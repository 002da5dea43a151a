//! Connections that outlive a probe, for the next probe of the same backend by the same HealthCheck (`connection: Reuse`).
//!
//! A kept connection belongs to the loop of its backend. It ends after [`MAX_PROBES`] probes, with a failed probe, and
//! when the backend is removed, moved, paused or probed in another way.

use std::{fmt, net::IpAddr, sync::Arc};

use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{exchange::Http2, http1::Http1, prober::ProbeTarget, tls::FaultTrackingStream};

/// The number of probes that use one connection: every 10th probe shows that clients can connect.
const MAX_PROBES: u8 = 10;

/// A connection that the next probe can use.
pub struct KeptConnection(Box<Kept>);

struct Kept {
    address: IpAddr,
    source: Option<IpAddr>,
    /// The number of probes that used the connection, at least 1 and less than [`MAX_PROBES`].
    probes: u8,
    session: Session,
    _permit: OwnedSemaphorePermit,
}

/// A connection with its protocol.
pub enum Session {
    Plain(Http1<TcpStream>),
    Tls(Box<Http1<FaultTrackingStream>>),
    Http2(Box<Http2>),
}

/// Limits the number of kept connections. Clones share the limit.
#[derive(Clone, Debug)]
pub struct ConnectionKeeper(Arc<Semaphore>);

impl ConnectionKeeper {
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))))
    }

    /// Keeps a connection on which the first probe succeeded. `None` if it cannot be used again, or at the limit.
    pub fn keep(&self, target: &ProbeTarget, session: Session) -> Option<KeptConnection> {
        let permit = Arc::clone(&self.0).try_acquire_owned().ok()?;
        let (address, source) = (target.address, target.source);
        KeptConnection(Box::new(Kept { address, source, probes: 0, session, _permit: permit })).after_probe()
    }
}

impl KeptConnection {
    /// True if a probe of `target` can use the connection. A connection whose end has arrived cannot be used.
    pub fn is_usable(&mut self, target: &ProbeTarget) -> bool {
        let Kept { address, source, session, .. } = &mut *self.0;
        (*address, *source) == (target.address, target.source)
            && match session {
                Session::Plain(http1) => http1.is_idle(),
                Session::Tls(http1) => http1.is_idle(),
                Session::Http2(http2) => http2.is_open(),
            }
    }

    /// True if the connection ends after its next probe.
    pub fn is_last_use(&self) -> bool {
        self.0.probes + 1 == MAX_PROBES
    }

    pub fn session(&mut self) -> &mut Session {
        &mut self.0.session
    }

    /// Counts a successful probe. `None` if it was the last on this connection.
    pub fn after_probe(mut self) -> Option<Self> {
        self.0.probes += 1;
        let is_reusable = match &mut self.0.session {
            Session::Plain(http1) => http1.is_reusable(),
            Session::Tls(http1) => http1.is_reusable(),
            Session::Http2(http2) => http2.is_open(),
        };
        (self.0.probes < MAX_PROBES && is_reusable).then_some(self)
    }
}

impl fmt::Debug for KeptConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptConnection").field("address", &self.0.address).finish_non_exhaustive()
    }
}

//! The part of a connection that its requests know.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Connections, Cut};

/// Progress of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Accepted; the first request has not arrived completely.
    First,
    /// Between two requests.
    Waiting,
    /// A part of a request's header has arrived.
    Header,
    /// A request is in progress.
    Request,
}

/// State shared by a connection, its requests and the table of connections.
#[derive(Debug, Default)]
pub(crate) struct ConnectionState {
    phase: AtomicU8,
    /// The reason to close the connection.
    cut: Mutex<Option<Cut>>,
    waker: AtomicWaker,
}

impl ConnectionState {
    pub(crate) fn phase(&self) -> Phase {
        let all = [Phase::First, Phase::Waiting, Phase::Header, Phase::Request];
        let phase = self.phase.load(Ordering::Relaxed);
        all.into_iter().find(|candidate| *candidate as u8 == phase).unwrap_or(Phase::First)
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Makes the connection close itself.
    pub(crate) fn close(&self, cut: Cut) {
        self.cut.lock().get_or_insert(cut);
        self.waker.wake();
    }

    /// The reason if the connection has to close itself, else `waker` is woken when it has to.
    pub(crate) fn cut(&self, waker: &std::task::Waker) -> Option<Cut> {
        self.waker.register(waker);
        *self.cut.lock()
    }
}

/// A connection as its requests know it, in the extensions of each request.
#[derive(Clone, Debug)]
pub struct ConnectionHandle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connections: Connections,
    id: u64,
    peer: SocketAddr,
    state: Arc<ConnectionState>,
    accepted: Instant,
    /// Part of the maximum age, so that connections of one time do not end at one time.
    jitter: Duration,
}

impl ConnectionHandle {
    pub(crate) fn new(connections: Connections, id: u64, peer: SocketAddr, state: Arc<ConnectionState>) -> Self {
        let jitter = connections.limits().max_age.mul_f64(fastrand::f64() / 10.0);
        Self(Arc::new(Inner { connections, id, peer, state, accepted: Instant::now(), jitter }))
    }

    /// The address of the client, or of the last proxy.
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// The time at which responses without an end should end.
    pub fn expires(&self) -> Instant {
        self.0.accepted + self.0.connections.limits().max_age - self.0.jitter
    }

    /// The time for which a peer may read nothing.
    pub(crate) fn write_timeout(&self) -> Duration {
        self.0.connections.limits().write_timeout
    }

    /// Closes the connection.
    pub(crate) fn close(&self, cut: Cut) {
        self.0.state.close(cut);
    }

    /// Records that the header of a request has arrived.
    pub fn request_started(&self) {
        self.0.state.set_phase(Phase::Request);
        self.0.connections.0.table.lock().set_waiting(self.0.id, false);
    }

    /// Records that a response has ended, and the connection waits for another request.
    pub fn request_ended(&self) {
        self.0.state.set_phase(Phase::Waiting);
        self.0.connections.0.table.lock().set_waiting(self.0.id, true);
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.0.connections
    }

    pub(crate) fn state(&self) -> &ConnectionState {
        &self.0.state
    }

    pub(crate) fn accepted(&self) -> Instant {
        self.0.accepted
    }

    pub(crate) fn closed(&self) {
        self.0.connections.closed(self.0.id);
    }
}

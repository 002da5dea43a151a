//! Probes of paths on request, for a person who waits for the results.

use std::{collections::BTreeSet, future, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use maglev_model::{
    name::Name,
    path::{PathHealth, PathKey},
};

/// Requests that wait for the checker at most.
const QUEUE: usize = 16;

/// A path as one probe found it.
pub type FoundPath = (PathKey, PathHealth);

/// Probes paths on request. Clones belong to the same checker.
#[derive(Clone, Debug)]
pub struct PathProber {
    request_tx: mpsc::Sender<PathRequest>,
    request_rx: Arc<Mutex<Option<mpsc::Receiver<PathRequest>>>>,
}

/// A request to probe all paths to a Backend.
#[derive(Debug)]
pub struct PathRequest {
    pub backend: Name,
    reply_tx: oneshot::Sender<Vec<FoundPath>>,
}

impl Default for PathProber {
    fn default() -> Self {
        let (request_tx, request_rx) = mpsc::channel(QUEUE);
        Self { request_tx, request_rx: Arc::new(Mutex::new(Some(request_rx))) }
    }
}

impl PathProber {
    /// Probes the paths to `backend` now, with a small and a large packet, and returns the result of these probes alone,
    /// sorted by Frontend. They count for the paths as others do. Empty if no path to the Backend is probed.
    ///
    /// Takes up to 4 s, since a backend receives at most one SYN a second for a VIP, and longer while this process gets too
    /// little CPU time.
    pub async fn probe(&self, backend: Name) -> Vec<FoundPath> {
        let (reply_tx, reply_rx) = oneshot::channel();
        if self.request_tx.send(PathRequest { backend, reply_tx }).await.is_err() {
            return Vec::new();
        }
        reply_rx.await.unwrap_or_default()
    }

    /// The requests, for the checker; `None` the second time.
    pub(crate) fn take_requests(&self) -> Option<mpsc::Receiver<PathRequest>> {
        self.request_rx.lock().take()
    }
}

/// The requests that are not answered yet.
#[derive(Default)]
pub struct PathRequests {
    request_rx: Option<mpsc::Receiver<PathRequest>>,
    pending: Vec<PendingRequest>,
}

struct PendingRequest {
    awaited: BTreeSet<PathKey>,
    found: Vec<FoundPath>,
    reply_tx: oneshot::Sender<Vec<FoundPath>>,
}

impl PathRequests {
    pub fn new(request_rx: Option<mpsc::Receiver<PathRequest>>) -> Self {
        Self { request_rx, pending: Vec::new() }
    }

    /// The next request. Cancel safe.
    pub async fn next(&mut self) -> PathRequest {
        let request = match &mut self.request_rx {
            Some(request_rx) => request_rx.recv().await,
            None => None,
        };
        match request {
            Some(request) => request,
            None => {
                self.request_rx = None;
                future::pending().await
            }
        }
    }

    /// Waits for the results of the paths `awaited`.
    pub fn add(&mut self, request: PathRequest, awaited: BTreeSet<PathKey>) {
        self.pending.push(PendingRequest { awaited, found: Vec::new(), reply_tx: request.reply_tx });
        self.reply();
    }

    /// True if a request waits for the result of some path.
    pub fn are_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Records the result of a path; `None` if the path is no longer probed.
    pub fn record(&mut self, key: &PathKey, health: Option<&PathHealth>) {
        for pending in &mut self.pending {
            if pending.awaited.remove(key) {
                pending.found.extend(health.map(|health| (key.clone(), health.clone())));
            }
        }
        self.reply();
    }

    /// Answers the requests that are complete, and drops those that nobody waits for.
    fn reply(&mut self) {
        for pending in self.pending.extract_if(.., |pending| pending.awaited.is_empty() || pending.reply_tx.is_closed())
        {
            let mut found = pending.found;
            found.sort_by(|(one, _), (other, _)| one.cmp(other));
            // Fails if the caller has gone.
            let _ = pending.reply_tx.send(found);
        }
    }
}

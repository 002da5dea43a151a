//! VPP's counters: read every few seconds during a session, published as a snapshot, and withdrawn with the session.
//!
//! ```text
//!  Dataplane::read ── pool indexes ─┐
//!  VPP's API ── stats indexes ──────┼─ StatsReader (a task per session) ── Publication ── metrics, gRPC
//!  VPP's stats.sock ───────────────┘
//! ```
//!
//! The stats segment belongs to one VPP process, as the API session does: [`Publisher`] opens it with the session, and
//! is dropped with it. The agent's own task is not involved; readers never wait.

mod metrics;
mod reader;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::metrics::VppMetrics;
use self::reader::StatsReader;
use maglev_model::{
    actual::{Actual, VppVip},
    counters::StatsSnapshot,
};
use maglev_vpp::lb::Lb;

/// The counters of the connected VPP; `None` without a session.
pub type Publication = Option<Arc<StatsSnapshot>>;

pub type PublicationSender = watch::Sender<Publication>;

/// The pool index of each VIP, as of the last dump.
type Indexes = BTreeMap<VppVip, Option<u32>>;

/// Publishes the counters of one session until it is dropped.
pub struct Publisher {
    ended: CancellationToken,
    publication_tx: Arc<PublicationSender>,
    indexes: PoolIndexes,
    /// The stats socket, if opened.
    opened: Option<PathBuf>,
}

/// Passes the pool indexes of the VIPs to the reader's task.
#[derive(Clone, Debug)]
pub struct PoolIndexes(Arc<watch::Sender<Indexes>>);

impl PoolIndexes {
    /// Takes the pool indexes from a dump.
    pub fn update(&self, actual: &Actual) {
        let now: Indexes = actual.vips.iter().map(|(vip, state)| (*vip, state.pool_index)).collect();
        self.0.send_if_modified(|indexes| std::mem::replace(indexes, now) != *indexes);
    }
}

impl Publisher {
    /// Opens the stats segment and starts the reader's task.
    pub async fn start(
        lb: Lb,
        socket: Option<PathBuf>,
        interval: Duration,
        publication_tx: Arc<PublicationSender>,
    ) -> Self {
        let (ended, indexes) = (CancellationToken::new(), Arc::new(watch::Sender::default()));
        let mut reader =
            StatsReader::new(lb, socket.clone(), indexes.subscribe(), Arc::clone(&publication_tx), ended.clone());
        reader.open().await;
        let opened = socket.filter(|_| reader.is_open());
        reader.publish(None);
        tokio::spawn(reader.run(interval));
        Self { ended, publication_tx, indexes: PoolIndexes(indexes), opened }
    }

    /// The stats socket, for the log; empty if it could not be opened.
    pub fn socket(&self) -> String {
        self.opened.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    }

    pub fn indexes(&self) -> PoolIndexes {
        self.indexes.clone()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // The order matters: the reader publishes only while it is not cancelled, under the same lock.
        self.ended.cancel();
        self.publication_tx.send_replace(None);
    }
}

//! What VPP counts: read every few seconds while there is a session, published as a snapshot, gone
//! with the session.
//!
//! ```text
//!  Dataplane::read ── pool indexes ─┐
//!  VPP's api ── stats indexes ──────┼─ Reader (a task per session) ── Publication ── metrics, gRPC
//!  VPP's stats.sock ── Figures ─────┘
//! ```
//!
//! The stats segment belongs to one VPP as the API session does: [`Publisher`] opens it with the
//! session, and is dropped with it. The agent's own task is not concerned; readers never wait.

mod metrics;
mod reader;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::metrics::VppMetrics;
use self::reader::Reader;
use maglev_model::{
    actual::{Actual, VppVip},
    counters::StatsSnapshot,
};
use maglev_vpp::lb::Lb;

/// What is known of the VPP that is connected; `None` while none is.
pub type Publication = Option<Arc<StatsSnapshot>>;

/// Where it is published.
pub type PublicationSender = watch::Sender<Publication>;

/// VPP's VIPs with their indexes in its pool, as last read.
type Indexes = BTreeMap<VppVip, Option<u32>>;

/// Publishes for one session, until it is dropped.
pub struct Publisher {
    ended: CancellationToken,
    published: Arc<PublicationSender>,
    indexes: PoolIndexes,
    /// The stats socket if it was opened.
    opened: Option<PathBuf>,
}

/// Takes note of VIPs' indexes.
#[derive(Clone, Debug)]
pub struct PoolIndexes(Arc<watch::Sender<Indexes>>);

impl PoolIndexes {
    /// VPP was read.
    pub fn update(&self, actual: &Actual) {
        let now: Indexes = actual.vips.iter().map(|(vip, of)| (*vip, of.pool_index)).collect();
        self.0.send_if_modified(|indexes| std::mem::replace(indexes, now) != *indexes);
    }
}

impl Publisher {
    /// Opens the stats segment and begins to read it.
    pub async fn start(lb: Lb, socket: Option<PathBuf>, every: Duration, published: Arc<PublicationSender>) -> Self {
        let (ended, indexes) = (CancellationToken::new(), Arc::new(watch::Sender::default()));
        let mut reader = Reader::new(lb, socket.clone(), indexes.subscribe(), Arc::clone(&published), ended.clone());
        reader.open().await;
        let opened = socket.filter(|_| reader.is_open());
        reader.publish(None);
        tokio::spawn(reader.run(every));
        Self { ended, published, indexes: PoolIndexes(indexes), opened }
    }

    /// The stats socket for the log; empty if it could not be opened.
    pub fn socket(&self) -> String {
        self.opened.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    }

    pub fn indexes(&self) -> PoolIndexes {
        self.indexes.clone()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // In this order: the reader publishes only while it is not cancelled, under the same lock.
        self.ended.cancel();
        self.published.send_replace(None);
    }
}

//! VPP's counters: read every few seconds during a session, published as a snapshot, and withdrawn with the session.
//!
//! ```text
//!  Dataplane::read ── DumpIndexes ──┐
//!  VPP's API ── stats indexes ──────┼─ StatsReader (a task per session) ── Publication ── metrics, gRPC
//!  VPP's stats.sock ── a few words ─┘        └─ BackendTotals (outlive the session)
//! ```
//!
//! The stats segment belongs to one VPP process, as the API session does: [`Publisher`] opens it with the session, and
//! is dropped with it. The agent's own task is not involved; readers never wait.

mod backend_totals;
mod dump_indexes;
mod metrics;
mod reader;
mod recent_traffic;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::{dump_indexes::DumpIndexesSender, reader::StatsReader};
pub use self::{metrics::VppMetrics, reader::SharedTotals};
use maglev_model::counters::StatsSnapshot;
use maglev_vpp::lb::Lb;

/// The counters of the connected VPP; `None` without a session.
pub type Publication = Option<Arc<StatsSnapshot>>;

pub type PublicationSender = watch::Sender<Publication>;

/// Publishes the counters of one session until it is dropped.
pub struct Publisher {
    ended: CancellationToken,
    publication_tx: Arc<PublicationSender>,
    indexes: DumpIndexesSender,
    /// The stats socket, if opened.
    opened: Option<PathBuf>,
}

/// Settings of the publication, and the state that outlives sessions.
#[derive(Clone, Debug)]
pub struct PublisherOptions {
    /// The stats socket; `None` if unused.
    pub socket: Option<PathBuf>,
    /// Interval between readings.
    pub interval: Duration,
    pub totals: SharedTotals,
    pub publication_tx: Arc<PublicationSender>,
    /// True while the counters are to be read every second.
    pub frequent_rx: watch::Receiver<bool>,
}

impl Publisher {
    /// Opens the stats segment and starts the reader's task.
    pub async fn start(lb: Lb, options: PublisherOptions) -> Self {
        let (ended, indexes) = (CancellationToken::new(), DumpIndexesSender::default());
        let mut reader = StatsReader::new(lb, options.clone(), indexes.subscribe(), ended.clone());
        reader.open().await;
        let opened = options.socket.filter(|_| reader.is_open());
        reader.publish_unreadable();
        tokio::spawn(reader.run());
        Self { ended, publication_tx: options.publication_tx, indexes, opened }
    }

    /// The stats socket, for the log; empty if it could not be opened.
    pub fn socket(&self) -> String {
        self.opened.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    }

    pub fn indexes(&self) -> DumpIndexesSender {
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

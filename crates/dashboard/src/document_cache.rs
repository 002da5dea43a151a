//! Documents of the latest snapshot as bytes, which requests share.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::state::Snapshot;

/// Longest time for which a document is served again. It contains the time at which it was made.
const MAX_AGE: Duration = Duration::from_secs(1);

/// A document that grows with the number of objects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CachedDocument {
    Summary,
    Everything,
    Node(String),
}

/// Documents of one snapshot.
#[derive(Default)]
pub struct DocumentCache(Mutex<Documents>);

#[derive(Default)]
struct Documents {
    snapshot: Option<Arc<Snapshot>>,
    documents: HashMap<CachedDocument, (Instant, Bytes)>,
}

impl DocumentCache {
    /// The document, if it was made from `snapshot` within the last second.
    pub fn get(&self, snapshot: &Arc<Snapshot>, document: &CachedDocument) -> Option<Bytes> {
        let cached = self.0.lock();
        let (made, bytes) = cached.documents.get(document).filter(|_| cached.is_of(snapshot))?;
        (made.elapsed() < MAX_AGE).then(|| bytes.clone())
    }

    /// Stores a document in place of those of other snapshots.
    pub fn insert(&self, snapshot: &Arc<Snapshot>, document: CachedDocument, bytes: Bytes) {
        let mut cached = self.0.lock();
        if !cached.is_of(snapshot) {
            *cached = Documents { snapshot: Some(Arc::clone(snapshot)), documents: HashMap::new() };
        }
        cached.documents.insert(document, (Instant::now(), bytes));
    }
}

impl Documents {
    fn is_of(&self, snapshot: &Arc<Snapshot>) -> bool {
        self.snapshot.as_ref().is_some_and(|cached| Arc::ptr_eq(cached, snapshot))
    }
}

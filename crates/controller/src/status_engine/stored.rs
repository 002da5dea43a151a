//! The statuses that the API server has.

use std::collections::{BTreeSet, HashMap};

use super::Key;
use crate::status::Status;
use maglev_crd::Pool;
use maglev_index::Object;
use maglev_kube::{StatusKind, StoredStatus};

/// The status of an object as the API server has it.
pub struct Stored {
    pub(super) raw: StoredStatus,
    pub(super) status: Status,
    /// Number of Backends that a Frontend names.
    pub(super) named_backends: usize,
    /// The last generation that is known to have been programmed on all nodes.
    pub(super) programmed_generation: Option<i64>,
}

impl Stored {
    pub fn new(kind: StatusKind, raw: StoredStatus, named_backends: usize) -> Self {
        let status = Status::from_value(kind, &raw.status);
        let programmed_generation = status.programmed_generation();
        Self { raw, status, named_backends, programmed_generation }
    }
}

/// Replaces a stored status unless `new` is older: a watch may deliver a status from before the last write.
pub fn insert_newer(stored: &mut HashMap<Key, Stored>, key: Key, mut new: Stored) {
    let old = stored.get(&key);
    if old.is_none_or(|old| !new.raw.is_older_than(&old.raw)) {
        let same_object = old.filter(|old| old.raw.uid == new.raw.uid);
        let before = same_object.and_then(|old| old.programmed_generation);
        new.programmed_generation = new.programmed_generation.or(before);
        stored.insert(key, new);
    }
}

/// The number of Backends that a Frontend names.
pub fn named_backends(object: &Object) -> usize {
    let Object::Frontend(frontend) = object else { return 0 };
    let pools = frontend.spec.iter().flat_map(|spec| &spec.pools);
    pools.flat_map(Pool::named_backends).map(|backend| &backend.name).collect::<BTreeSet<_>>().len()
}

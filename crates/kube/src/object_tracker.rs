//! Tracks the objects of one kind. Pure; driven by `kind_watch`.
//!
//! New and changed objects are delivered at once. Deletions (and the first list, whose gaps are deletions to an agent
//! that has just started) are held back until the API server confirms that it serves the kind, since an empty list may
//! only mean a missing CRD. Changes that arrive meanwhile are held, too, so that an object which takes the place of a
//! deleted one does not conflict with it. If confirmation does not come, changes are released and only deletions wait.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use super::raw_object::{ObjectVersion, RawObject};
use maglev_model::Name;

/// An update of the index. To be applied in the order of the fields.
#[derive(Debug, Default)]
pub struct TrackerUpdate {
    /// True if `objects` is the first complete list of the kind.
    pub first: bool,
    pub deleted: Vec<Name>,
    /// New and changed objects.
    pub objects: Vec<RawObject>,
}

#[derive(Debug, Default)]
pub struct ObjectTracker {
    stage: Stage,
    /// Versions of the objects that the index has.
    delivered: BTreeMap<Name, ObjectVersion>,
    /// The list in progress.
    incoming: Option<BTreeMap<Name, RawObject>>,
    /// New and changed objects that the index does not have yet.
    pending: BTreeMap<Name, RawObject>,
    /// Deleted objects that the index still has.
    deletions: BTreeSet<Name>,
    /// Set after a confirmation was requested and did not arrive.
    confirmation_missing: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// No list has completed.
    #[default]
    Unlisted,
    /// `pending` is the first complete list.
    FirstList,
    /// The first list was delivered.
    Listed,
}

impl ObjectTracker {
    /// Begins a list; an incomplete one is dropped.
    pub fn begin_list(&mut self) {
        self.incoming = Some(BTreeMap::new());
    }

    pub fn add_listed(&mut self, object: RawObject) {
        self.incoming.get_or_insert_default().insert(object.name(), object);
    }

    /// Completes the list: delivered objects that are not in it are deleted.
    pub fn complete_list(&mut self) {
        let listed = self.incoming.take().unwrap_or_default();
        self.deletions = self.delivered.keys().filter(|name| !listed.contains_key(*name)).cloned().collect();
        self.pending = listed;
        self.pending.retain(|name, object| self.delivered.get(name) != Some(&object.version()));
        if self.stage == Stage::Unlisted {
            self.stage = Stage::FirstList;
        }
        self.confirmation_missing &= self.needs_confirmation();
    }

    /// Adds a new or changed object.
    pub fn apply(&mut self, object: RawObject) {
        let name = object.name();
        self.deletions.remove(&name);
        self.pending.insert(name, object);
        self.confirmation_missing &= self.needs_confirmation();
    }

    pub fn delete(&mut self, name: Name) {
        self.pending.remove(&name);
        if self.delivered.contains_key(&name) {
            self.deletions.insert(name);
        }
    }

    /// True while the first list or a deletion waits for confirmation that the kind is served.
    pub fn needs_confirmation(&self) -> bool {
        self.stage == Stage::FirstList || !self.deletions.is_empty()
    }

    /// Number of deletions that wait for confirmation.
    pub fn pending_deletions(&self) -> usize {
        self.deletions.len()
    }

    /// Number of objects that the index has.
    pub fn delivered_count(&self) -> usize {
        self.delivered.len()
    }

    /// Takes the changes that need no confirmation.
    pub fn take_ready(&mut self) -> Option<TrackerUpdate> {
        let released = self.stage == Stage::Listed && (self.confirmation_missing || !self.needs_confirmation());
        (released && !self.pending.is_empty())
            .then(|| TrackerUpdate { objects: self.take_pending(), ..TrackerUpdate::default() })
    }

    /// Takes everything, after the API server confirmed that it serves the kind.
    pub fn confirm(&mut self) -> TrackerUpdate {
        self.confirmation_missing = false;
        let first = mem::replace(&mut self.stage, Stage::Listed) == Stage::FirstList;
        let deleted: Vec<_> = mem::take(&mut self.deletions).into_iter().collect();
        for name in &deleted {
            self.delivered.remove(name);
        }
        TrackerUpdate { first, deleted, objects: self.take_pending() }
    }

    /// Releases changes although the API server gave no confirmation; deletions keep waiting.
    pub fn miss_confirmation(&mut self) {
        self.confirmation_missing = true;
    }

    /// The kind is not served: cancels the deletions until a new list is complete.
    pub fn mark_not_served(&mut self) {
        self.confirmation_missing = false;
        self.incoming = None;
        self.deletions.clear();
        if self.stage == Stage::FirstList {
            self.stage = Stage::Unlisted;
            self.pending.clear();
        }
    }

    fn take_pending(&mut self) -> Vec<RawObject> {
        let pending = mem::take(&mut self.pending);
        self.delivered.extend(pending.iter().map(|(name, object)| (name.clone(), object.version())));
        pending.into_values().collect()
    }
}

#[cfg(test)]
mod tests;

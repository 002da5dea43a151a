//! What is known of one kind's objects: listed, waiting, gone. Pure; driven by `kind_watch`.
//!
//! What is there counts at once. What is gone, and a first list (an agent that has just started
//! would take everything that it lacks for gone), waits for word that the kind is really served;
//! what changes meanwhile waits with it, so that an object whose place another takes is not seen to
//! conflict with it. While that word does not come, what is there counts again and only what is
//! gone waits.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use super::guard::{Raw, Version};
use maglev_model::Name;

/// What the index has to be told. To be applied in the order of the fields.
#[derive(Debug, Default)]
pub struct Change {
    /// `objects` is the first complete list of the kind.
    pub first: bool,
    /// Objects that are gone.
    pub gone: Vec<Name>,
    /// Objects that are there, new or changed.
    pub objects: Vec<Raw>,
}

/// The books of one kind.
#[derive(Debug, Default)]
pub struct Ledger {
    stage: Stage,
    /// What the index has.
    known: BTreeMap<Name, Version>,
    /// The list that is under way.
    incoming: Option<BTreeMap<Name, Raw>>,
    /// What is there and the index does not have yet.
    waiting: BTreeMap<Name, Raw>,
    /// What the index has and is not there.
    gone: BTreeSet<Name>,
    /// Asked for, and not given.
    no_word: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// There was no complete list yet.
    #[default]
    Unlisted,
    /// The first complete list is in `waiting`.
    FirstList,
    /// The index has had the first list.
    Listed,
}

impl Ledger {
    /// A list begins; one that was under way is void.
    pub fn list_begins(&mut self) {
        self.incoming = Some(BTreeMap::new());
    }

    /// An object of the list.
    pub fn list_has(&mut self, object: Raw) {
        self.incoming.get_or_insert_default().insert(object.name(), object);
    }

    /// The list is complete: it is all there is.
    pub fn list_ends(&mut self) {
        let listed = self.incoming.take().unwrap_or_default();
        self.gone = self.known.keys().filter(|name| !listed.contains_key(*name)).cloned().collect();
        self.waiting = listed;
        self.waiting.retain(|name, object| self.known.get(name) != Some(&object.version()));
        if self.stage == Stage::Unlisted {
            self.stage = Stage::FirstList;
        }
        self.no_word &= self.needs_word();
    }

    /// An object is there, new or changed.
    pub fn applied(&mut self, object: Raw) {
        let name = object.name();
        self.gone.remove(&name);
        self.waiting.insert(name, object);
        self.no_word &= self.needs_word();
    }

    /// An object is gone.
    pub fn deleted(&mut self, name: Name) {
        self.waiting.remove(&name);
        if self.known.contains_key(&name) {
            self.gone.insert(name);
        }
    }

    /// Whether something waits for word that the kind is served.
    pub fn needs_word(&self) -> bool {
        self.stage == Stage::FirstList || !self.gone.is_empty()
    }

    /// How many objects are gone and wait for word.
    pub fn gone(&self) -> usize {
        self.gone.len()
    }

    /// How many objects the index has.
    pub fn known(&self) -> usize {
        self.known.len()
    }

    /// What the index may be told without word.
    pub fn ready(&mut self) -> Option<Change> {
        let free = self.stage == Stage::Listed && (self.no_word || !self.needs_word());
        (free && !self.waiting.is_empty()).then(|| Change { objects: self.take_waiting(), ..Change::default() })
    }

    /// The kind is served: everything counts.
    pub fn word_given(&mut self) -> Change {
        self.no_word = false;
        let first = mem::replace(&mut self.stage, Stage::Listed) == Stage::FirstList;
        let gone: Vec<_> = mem::take(&mut self.gone).into_iter().collect();
        for name in &gone {
            self.known.remove(name);
        }
        Change { first, gone, objects: self.take_waiting() }
    }

    /// Nobody could tell; what is gone waits on.
    pub fn word_missing(&mut self) {
        self.no_word = true;
    }

    /// The kind is not served: what is gone stays as last seen, until a new list says otherwise.
    pub fn not_served(&mut self) {
        self.no_word = false;
        self.incoming = None;
        self.gone.clear();
        if self.stage == Stage::FirstList {
            self.stage = Stage::Unlisted;
            self.waiting.clear();
        }
    }

    fn take_waiting(&mut self) -> Vec<Raw> {
        let waiting = mem::take(&mut self.waiting);
        self.known.extend(waiting.iter().map(|(name, object)| (name.clone(), object.version())));
        waiting.into_values().collect()
    }
}

#[cfg(test)]
mod tests;

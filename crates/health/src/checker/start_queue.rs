//! The due times of all probes, and the order in which due probes start: fair between namespaces.
//!
//! ```text
//!  probes due later, by time ─▶ ring: namespaces with due probes, in turns ─▶ start
//!                                    └▶ full: namespaces that used their share ─▶ start, once there is room
//! ```
//!
//! Two rules keep the probes of one namespace from delaying those of another:
//!
//! * Turns: namespaces with due probes start one probe each, in turns. Every probe costs the same, so that this is
//!   deficit round robin with a quantum of one probe.
//! * Share: a namespace starts a probe only while it has fewer than [`SHARE`] times as many probes in flight as there
//!   are free slots. A lone namespace thus uses up to 7/8 of all slots, two use 7/15 each, and so on: slots are free for
//!   a namespace that probes little, although the probes of the others last for minutes. A namespace without a probe in
//!   flight needs one free slot only, so that each of them makes progress.
//!
//! A start takes time logarithmic in the number of probes and of namespaces.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeSet, BinaryHeap, HashMap, VecDeque, btree_set},
    iter,
    sync::Arc,
};

use maglev_model::name::Name;
use tokio::time::Instant;

/// The maximum ratio of a namespace's probes in flight to the free slots.
const SHARE: usize = 7;

#[derive(Debug)]
pub struct StartQueue {
    /// The number of slots, at least 1.
    slots: usize,
    in_flight: usize,
    /// The namespaces with a probe to start or in flight.
    namespaces: HashMap<Arc<str>, Namespace>,
    /// The namespaces in [`Place::Later`], by their first due time.
    later: BTreeSet<(Instant, Arc<str>)>,
    ring: VecDeque<Arc<str>>,
    /// The namespaces in [`Place::Full`], by their number of probes in flight.
    full: BTreeSet<(usize, Arc<str>)>,
}

#[derive(Debug)]
struct Namespace {
    due: BTreeSet<(Instant, Name)>,
    in_flight: usize,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// No probe is to start.
    Idle,
    /// The first probe is due then.
    Later(Instant),
    Ring,
    Full,
}

/// The answer to [`StartQueue::next`].
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Start this probe, which was due at this time.
    Start(Instant, Name),
    NoneDue,
    /// Probes of this namespace are due, but must wait for slots.
    Limited(Arc<str>),
}

impl StartQueue {
    pub fn new(slots: usize) -> Self {
        Self {
            slots: slots.max(1),
            in_flight: 0,
            namespaces: HashMap::new(),
            later: BTreeSet::new(),
            ring: VecDeque::new(),
            full: BTreeSet::new(),
        }
    }

    /// The probes to start, the next due first. Merges the namespaces, which are few compared with the probes.
    pub fn iter(&self) -> impl Iterator<Item = &Name> {
        let mut merged: BinaryHeap<_> = self
            .namespaces
            .values()
            .filter_map(|namespace| DueProbes::new(namespace.due.iter()))
            .map(Reverse)
            .collect();
        iter::from_fn(move || {
            let Reverse(DueProbes { first: (_, name), rest }) = merged.pop()?;
            merged.extend(DueProbes::new(rest).map(Reverse));
            Some(name)
        })
    }

    /// Adds the probe of `name`, due at `at`.
    pub fn insert(&mut self, at: Instant, name: &Name) {
        if !self.namespaces.contains_key(name.namespace()) {
            let new = Namespace { due: BTreeSet::new(), in_flight: 0, place: Place::Idle };
            self.namespaces.insert(name.namespace().into(), new);
        }
        self.update(name.namespace(), |namespace| {
            namespace.due.insert((at, name.clone()));
        });
    }

    /// Removes the probe of `name`, due at `at`.
    pub fn remove(&mut self, at: Instant, name: &Name) {
        let probe = (at, name.clone());
        self.update(name.namespace(), |namespace| {
            namespace.due.remove(&probe);
        });
    }

    /// Frees the slot of a probe of `name`.
    pub fn finish(&mut self, name: &Name) {
        self.in_flight -= 1;
        self.update(name.namespace(), |namespace| namespace.in_flight -= 1);
    }

    /// The time at which [`next`](Self::next) may start a probe; `None` until a slot is free.
    pub fn next_at(&self, now: Instant) -> Option<Instant> {
        if self.in_flight == self.slots {
            return None;
        }
        let may_start = !self.ring.is_empty() || self.first_full_has_share();
        if may_start { Some(now) } else { self.later.first().map(|(at, _)| *at) }
    }

    /// Takes the next probe to start, and its slot.
    pub fn next(&mut self, now: Instant) -> Next {
        while let Some((at, _)) = self.later.first()
            && *at <= now
            && let Some((_, key)) = self.later.pop_first()
        {
            self.put(key, Place::Ring);
        }
        if self.first_full_has_share()
            && let Some((_, key)) = self.full.pop_first()
        {
            self.set_place(&key, Place::Ring);
            self.ring.push_front(key);
        }
        while let Some(key) = self.ring.pop_front() {
            let Some(namespace) = self.namespaces.get_mut(&key) else { continue };
            if namespace.due.first().is_none_or(|(at, _)| *at > now) {
                namespace.place = Place::Idle;
                self.update(&key, |_| {});
            } else if !has_share(namespace.in_flight, self.slots - self.in_flight) {
                self.put(key, Place::Full);
            } else if let Some((at, name)) = namespace.due.pop_first() {
                namespace.in_flight += 1;
                self.in_flight += 1;
                self.ring.push_back(key);
                return Next::Start(at, name);
            }
        }
        self.full.last().map_or(Next::NoneDue, |(_, key)| Next::Limited(Arc::clone(key)))
    }

    fn first_full_has_share(&self) -> bool {
        self.full.first().is_some_and(|(in_flight, _)| has_share(*in_flight, self.slots - self.in_flight))
    }

    /// Changes a namespace and moves it to its new place. Forgets a namespace without probes.
    fn update(&mut self, key: &str, change: impl FnOnce(&mut Namespace)) {
        let Some((key, namespace)) = self.namespaces.get_key_value(key) else { return };
        let (key, place, in_flight) = (Arc::clone(key), namespace.place, namespace.in_flight);
        let Some(namespace) = self.namespaces.get_mut(&key) else { return };
        change(namespace);
        let first = namespace.due.first().map(|(at, _)| *at);
        match place {
            // The next turn finds out that nothing is due any more.
            Place::Ring => return,
            Place::Full if first.is_some() => {
                if namespace.in_flight != in_flight {
                    let changed = namespace.in_flight;
                    self.full.remove(&(in_flight, Arc::clone(&key)));
                    self.full.insert((changed, key));
                }
                return;
            }
            Place::Full => {
                self.full.remove(&(in_flight, Arc::clone(&key)));
            }
            Place::Later(at) if Some(at) == first => return,
            Place::Later(at) => {
                self.later.remove(&(at, Arc::clone(&key)));
            }
            Place::Idle => {}
        }
        if first.is_none() && namespace.in_flight == 0 {
            self.namespaces.remove(&key);
        } else {
            self.put(key, first.map_or(Place::Idle, Place::Later));
        }
    }

    /// Puts a namespace, which is in no collection, to a place.
    fn put(&mut self, key: Arc<str>, place: Place) {
        let Some(namespace) = self.namespaces.get_mut(&key) else { return };
        namespace.place = place;
        match place {
            Place::Idle => {}
            Place::Later(at) => {
                self.later.insert((at, key));
            }
            Place::Ring => self.ring.push_back(key),
            Place::Full => {
                self.full.insert((namespace.in_flight, key));
            }
        }
    }

    fn set_place(&mut self, key: &str, place: Place) {
        if let Some(namespace) = self.namespaces.get_mut(key) {
            namespace.place = place;
        }
    }
}

/// Probes of one namespace to start, ordered by the first of them.
struct DueProbes<'q> {
    first: &'q (Instant, Name),
    rest: btree_set::Iter<'q, (Instant, Name)>,
}

impl<'q> DueProbes<'q> {
    /// `None` without probes.
    fn new(mut probes: btree_set::Iter<'q, (Instant, Name)>) -> Option<Self> {
        Some(Self { first: probes.next()?, rest: probes })
    }
}

impl Ord for DueProbes<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.first.cmp(other.first)
    }
}

impl PartialOrd for DueProbes<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for DueProbes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for DueProbes<'_> {}

fn has_share(in_flight: usize, free: usize) -> bool {
    in_flight < free.saturating_mul(SHARE)
}

#[cfg(test)]
mod tests;

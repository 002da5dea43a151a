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
    collections::{BTreeSet, HashMap, VecDeque},
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
    /// The probes to start, of all namespaces.
    due: BTreeSet<(Instant, Name)>,
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
            due: BTreeSet::new(),
            namespaces: HashMap::new(),
            later: BTreeSet::new(),
            ring: VecDeque::new(),
            full: BTreeSet::new(),
        }
    }

    /// The probes to start, the next due first.
    pub fn iter(&self) -> impl Iterator<Item = &Name> {
        self.due.iter().map(|(_, name)| name)
    }

    /// Adds the probe of `name`, due at `at`.
    pub fn insert(&mut self, at: Instant, name: &Name) {
        self.due.insert((at, name.clone()));
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
        self.due.remove(&probe);
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
                self.due.remove(&(at, name.clone()));
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

fn has_share(in_flight: usize, free: usize) -> bool {
    in_flight < free.saturating_mul(SHARE)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;

    const SEC: Duration = Duration::from_secs(1);

    struct Fixture {
        queue: StartQueue,
        epoch: Instant,
        in_flight: Vec<Name>,
    }

    impl Fixture {
        fn new(slots: usize) -> Self {
            Self { queue: StartQueue::new(slots), epoch: Instant::now(), in_flight: Vec::new() }
        }

        fn add(&mut self, namespace: &str, probes: usize, at: Duration) {
            for number in 0..probes {
                self.queue.insert(self.epoch + at, &Name::namespaced(namespace, &format!("{number:05}")));
            }
        }

        /// Starts up to `limit` probes at a time, and counts them by namespace.
        fn start(&mut self, at: Duration, limit: usize) -> BTreeMap<String, usize> {
            let mut started = BTreeMap::new();
            for _ in 0..limit {
                let Next::Start(_, name) = self.queue.next(self.epoch + at) else { break };
                *started.entry(name.namespace().to_owned()).or_default() += 1;
                self.in_flight.push(name);
            }
            started
        }

        fn finish(&mut self, namespace: &str, count: usize) {
            for _ in 0..count {
                let position = self.in_flight.iter().position(|name| name.namespace() == namespace).unwrap();
                let name = self.in_flight.swap_remove(position);
                self.queue.finish(&name);
            }
        }
    }

    fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
        expected.into_iter().map(|(namespace, count)| (namespace.to_owned(), count)).collect()
    }

    #[test]
    fn namespaces_with_due_probes_take_turns() {
        let mut fixture = Fixture::new(8192);
        fixture.add("bad", 5000, Duration::ZERO);
        fixture.add("shop", 3, SEC);
        fixture.add("web", 2, SEC);
        assert_eq!(fixture.start(SEC, 6), counts([("bad", 2), ("shop", 2), ("web", 2)]));
        assert_eq!(fixture.start(SEC, 3), counts([("bad", 2), ("shop", 1)]));
        assert_eq!(fixture.start(SEC, 10), counts([("bad", 10)]));
    }

    #[test]
    fn lone_namespace_leaves_an_eighth_of_the_slots_to_others() {
        let mut fixture = Fixture::new(8192);
        fixture.add("bad", 8192, Duration::ZERO);
        assert_eq!(fixture.start(SEC, usize::MAX), counts([("bad", 7168)]));
        assert_eq!(fixture.queue.next(fixture.epoch + SEC), Next::Limited("bad".into()));
        assert_eq!(fixture.queue.next_at(fixture.epoch + SEC), None, "nothing may start before a probe ends");
        fixture.add("shop", 500, SEC);
        assert_eq!(fixture.start(SEC, usize::MAX), counts([("shop", 500)]));
        fixture.finish("shop", 500);
        fixture.finish("bad", 100);
        assert_eq!(fixture.start(SEC, usize::MAX), counts([("bad", 100)]), "a slot that is freed is used");
    }

    #[test]
    fn slots_are_free_however_many_namespaces_use_their_share() {
        let mut fixture = Fixture::new(8192);
        for number in 0..8 {
            fixture.add(&format!("bad-{number}"), 8192, Duration::ZERO);
        }
        let started = fixture.start(SEC, usize::MAX);
        assert!(started.values().all(|count| (1000..1020).contains(count)), "{started:?}");
        fixture.add("shop", 100, SEC);
        assert_eq!(fixture.start(SEC, usize::MAX), counts([("shop", 100)]));
    }

    #[test]
    fn few_slots_are_used_and_every_namespace_makes_progress() {
        for slots in 1..20 {
            let mut fixture = Fixture::new(slots);
            fixture.add("bad", 100, Duration::ZERO);
            let started = fixture.start(SEC, usize::MAX)["bad"];
            assert!(started >= slots - slots / 8 - 1 && started <= slots, "{started} of {slots}");
            fixture.add("shop", 1, SEC);
            while !fixture.in_flight.iter().any(|name| name.namespace() == "shop") {
                if fixture.start(SEC, 1).is_empty() {
                    fixture.finish("bad", 1);
                }
            }
            assert!(fixture.in_flight.len() <= slots);
        }
    }

    #[test]
    fn probes_start_when_due_and_removed_ones_never() {
        let mut fixture = Fixture::new(4);
        assert_eq!(fixture.queue.next_at(fixture.epoch), None);
        fixture.add("shop", 2, SEC);
        fixture.add("web", 1, 2 * SEC);
        assert_eq!(fixture.queue.next_at(fixture.epoch), Some(fixture.epoch + SEC));
        assert_eq!(fixture.queue.next(fixture.epoch), Next::NoneDue);
        fixture.queue.remove(fixture.epoch + SEC, &Name::namespaced("shop", "00000"));
        assert_eq!(fixture.start(SEC, usize::MAX), counts([("shop", 1)]));
        assert_eq!(fixture.queue.next_at(fixture.epoch + SEC), Some(fixture.epoch + 2 * SEC));
        fixture.queue.remove(fixture.epoch + 2 * SEC, &Name::namespaced("web", "00000"));
        assert_eq!(fixture.queue.next(fixture.epoch + 3 * SEC), Next::NoneDue);
        fixture.finish("shop", 1);
        assert!(fixture.queue.namespaces.is_empty() && fixture.queue.due.is_empty(), "{:?}", fixture.queue);
    }

    #[test]
    fn namespace_that_waits_with_its_share_used_may_lose_its_probes() {
        let mut fixture = Fixture::new(8);
        fixture.add("bad", 8, Duration::ZERO);
        assert_eq!(fixture.start(SEC, usize::MAX), counts([("bad", 7)]));
        fixture.queue.remove(fixture.epoch, &Name::namespaced("bad", "00007"));
        assert_eq!(fixture.queue.next(fixture.epoch + SEC), Next::NoneDue);
        fixture.finish("bad", 7);
        assert!(fixture.queue.namespaces.is_empty() && fixture.queue.full.is_empty(), "{:?}", fixture.queue);
    }
}

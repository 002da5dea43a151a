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
fn probes_are_listed_by_due_time_across_namespaces() {
    let mut fixture = Fixture::new(8);
    for (namespace, number) in [("a", 0), ("b", 1), ("a", 2), ("c", 3), ("b", 4), ("a", 5)] {
        let name = Name::namespaced(namespace, &number.to_string());
        fixture.queue.insert(fixture.epoch + number * SEC, &name);
    }
    let listed: Vec<_> = fixture.queue.iter().map(Name::name).collect();
    assert_eq!(listed, ["0", "1", "2", "3", "4", "5"]);
    fixture.start(SEC, 2);
    assert_eq!(fixture.queue.iter().map(Name::name).next(), Some("2"), "a probe in flight is not listed");
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
    assert!(fixture.queue.namespaces.is_empty(), "{:?}", fixture.queue);
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

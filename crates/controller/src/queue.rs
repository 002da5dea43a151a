//! Which object is written next: by how much it matters, then by how long it has waited. Pure; the clock is passed in.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use tokio::time::Instant;

use super::{status::Class, world::Key};

/// Between two rationed writes: five a second.
pub const PACE: Duration = Duration::from_millis(200);
/// An object's bare numbers are written no more often,
const NUMBERS_EVERY: Duration = Duration::from_mins(5);
/// and not before they have differed for so long: several backends that come up together are one write.
const NUMBERS_AFTER: Duration = Duration::from_secs(5);
/// Before a refused write is tried again; doubles with each refusal.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_mins(1);

/// Objects whose status is not what it should be.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: HashMap<Key, (Class, u64)>,
    order: BTreeSet<(Class, u64, Key)>,
    /// Objects that are not to be looked at before their time.
    later: BTreeMap<(Instant, u64), Key>,
    /// When an object's bare numbers were last written.
    numbers: HashMap<Key, Instant>,
    /// Since when nothing but numbers has differed.
    differing: HashMap<Key, Instant>,
    refused: HashMap<Key, (Instant, Duration)>,
    next: u64,
    /// When the next rationed write may go.
    rationed_at: Option<Instant>,
}

impl Queue {
    /// An object is to be written, with this class; `None` where it need not be.
    pub fn set(&mut self, key: Key, class: Option<Class>, now: Instant) {
        if class != Some(Class::Numbers) {
            self.differing.remove(&key);
        }
        let Some(class) = class else {
            self.remove(&key);
            return;
        };
        if class == Class::Numbers {
            self.differing.entry(key.clone()).or_insert(now);
        }
        let not_before = self.not_before(&key, class);
        if not_before.is_some_and(|at| at > now) {
            self.remove(&key);
            self.look_again(key, not_before.unwrap_or(now));
            return;
        }
        let since = match self.waiting.get(&key) {
            Some((known, _)) if *known == class => return,
            // It has waited since then, for whatever it was.
            Some((_, since)) => *since,
            None => self.number(),
        };
        self.remove(&key);
        self.waiting.insert(key.clone(), (class, since));
        self.order.insert((class, since, key));
    }

    fn not_before(&self, key: &Key, class: Class) -> Option<Instant> {
        let of = |at: &Instant, delay: Duration| Some(*at + delay).filter(|_| class == Class::Numbers);
        let seldom = self.numbers.get(key).and_then(|at| of(at, NUMBERS_EVERY));
        let settled = self.differing.get(key).and_then(|at| of(at, NUMBERS_AFTER));
        seldom.max(settled).max(self.refused.get(key).map(|(at, _)| *at))
    }

    /// Has an object looked at again at `at`.
    pub fn look_again(&mut self, key: Key, at: Instant) {
        let number = self.number();
        self.later.insert((at, number), key);
    }

    /// Objects whose time has come to be looked at again.
    pub fn due(&mut self, now: Instant) -> Vec<Key> {
        let rest = self.later.split_off(&(now, u64::MAX));
        std::mem::replace(&mut self.later, rest).into_values().collect()
    }

    /// The next object that may be written now. The caller looks at it again, and says [`Queue::rationed`] if what it
    /// then writes is rationed.
    pub fn pop(&mut self, now: Instant) -> Option<Key> {
        let (class, _, key) = self.order.first()?.clone();
        if class != Class::Answer && self.rationed_at.is_some_and(|at| at > now) {
            return None;
        }
        self.remove(&key);
        Some(key)
    }

    /// When [`Queue::pop`] may have something again that it has not now.
    pub fn ready_at(&self) -> Option<Instant> {
        self.order.first().and(self.rationed_at)
    }

    /// A rationed write begins.
    pub fn rationed(&mut self, now: Instant) {
        self.rationed_at = Some(now + PACE);
    }

    /// An object was written.
    pub fn done(&mut self, key: &Key, class: Class, now: Instant) {
        self.refused.remove(key);
        self.differing.remove(key);
        if class == Class::Numbers {
            self.numbers.insert(key.clone(), now);
        }
    }

    /// A write failed: it is tried again later, and later each time.
    pub fn failed(&mut self, key: &Key, now: Instant) {
        let delay = self.refused.get(key).map_or(RETRY_MIN, |(_, delay)| (*delay * 2).min(RETRY_MAX));
        self.refused.insert(key.clone(), (now + delay, delay));
        self.look_again(key.clone(), now + delay);
    }

    /// An object is gone.
    pub fn forget(&mut self, key: &Key) {
        self.remove(key);
        self.numbers.remove(key);
        self.differing.remove(key);
        self.refused.remove(key);
    }

    /// How many objects wait, by class.
    pub fn waiting(&self) -> BTreeMap<Class, usize> {
        let mut waiting = BTreeMap::new();
        self.waiting.values().for_each(|(class, _)| *waiting.entry(*class).or_default() += 1);
        waiting
    }

    fn remove(&mut self, key: &Key) {
        if let Some((class, since)) = self.waiting.remove(key) {
            self.order.remove(&(class, since, key.clone()));
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maglev_kube::status_writer::Written;
    use maglev_model::{Name, config::Kind};

    fn key(name: &str) -> Key {
        (Written::Kind(Kind::Frontend), Name::namespaced("shop", name))
    }

    fn pop(queue: &mut Queue, now: Instant) -> Option<String> {
        queue.pop(now).map(|(_, name)| name.name().to_owned())
    }

    #[test]
    fn what_matters_more_goes_first_and_then_what_has_waited_longest() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.set(key("n"), Some(Class::Numbers), now);
        let now = now + NUMBERS_AFTER;
        for (name, class) in [
            ("n", Class::Numbers),
            ("c1", Class::Condition),
            ("s", Class::State),
            ("c2", Class::Condition),
            ("a", Class::Answer),
        ] {
            queue.set(key(name), Some(class), now);
        }
        // Saying it again changes nothing about who waited longest.
        queue.set(key("c1"), Some(Class::Condition), now);
        let order: Vec<_> = std::iter::from_fn(|| pop(&mut queue, now)).collect();
        assert_eq!(order, ["a", "c1", "c2", "s", "n"]);
    }

    #[test]
    fn five_writes_a_second_but_first_answers_at_once() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        for n in 0..30 {
            queue.set(key(&format!("c{n:02}")), Some(Class::Condition), now);
        }
        let start = now;
        let mut written = 0;
        while now < start + Duration::from_secs(2) {
            if pop(&mut queue, now).is_some() {
                queue.rationed(now);
                written += 1;
            }
            now += Duration::from_millis(10);
        }
        assert_eq!(written, 10);
        queue.set(key("a"), Some(Class::Answer), now);
        queue.rationed(now);
        assert_eq!(pop(&mut queue, now).as_deref(), Some("a"));
        assert_eq!(pop(&mut queue, now), None);
        assert_eq!(queue.ready_at(), Some(now + PACE));
    }

    #[test]
    fn bare_numbers_of_one_object_are_written_once_in_five_minutes() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        for after in [NUMBERS_AFTER, NUMBERS_EVERY, NUMBERS_EVERY] {
            queue.set(key("a"), Some(Class::Numbers), now);
            let early = now + after - Duration::from_secs(1);
            assert_eq!((queue.due(early), pop(&mut queue, early)), (vec![], None));
            now += after;
            assert_eq!(queue.due(now), [key("a")]);
            queue.set(key("a"), Some(Class::Numbers), now);
            assert_eq!(pop(&mut queue, now).as_deref(), Some("a"));
            queue.done(&key("a"), Class::Numbers, now);
        }
        // Anything that matters more takes the numbers with it, at once.
        queue.set(key("a"), Some(Class::Numbers), now);
        queue.set(key("a"), Some(Class::Condition), now);
        assert_eq!(pop(&mut queue, now).as_deref(), Some("a"));
    }

    #[test]
    fn a_refused_write_is_tried_again_later_each_time() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            queue.failed(&key("a"), now);
            queue.set(key("a"), Some(Class::Answer), now);
            assert_eq!(pop(&mut queue, now), None);
            now += Duration::from_secs(seconds);
            assert!(queue.due(now).contains(&key("a")), "after {seconds} s");
            queue.set(key("a"), Some(Class::Answer), now);
            assert_eq!(pop(&mut queue, now).as_deref(), Some("a"));
        }
        queue.done(&key("a"), Class::Answer, now);
        queue.set(key("a"), Some(Class::Answer), now);
        assert_eq!(pop(&mut queue, now).as_deref(), Some("a"));
    }

    #[test]
    fn what_is_right_again_is_not_written() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.set(key("a"), Some(Class::Condition), now);
        queue.set(key("a"), None, now);
        assert_eq!((pop(&mut queue, now), queue.waiting().len()), (None, 0));
    }
}

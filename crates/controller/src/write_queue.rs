//! Orders status writes by priority, then by waiting time, and limits their rate. Pure; the clock is a parameter.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use tokio::time::Instant;

use super::{status::Priority, status_engine::Key};

/// Interval between rate-limited writes: five per second.
pub const WRITE_INTERVAL: Duration = Duration::from_millis(200);
/// Delay of a write in which only numbers or times differ, so that several backends that come up together cause one
/// write. The queue adds more only while other writes use up the rate.
const NUMBERS_DELAY: Duration = Duration::from_secs(5);
/// Interval between writes in which only times differ: they differ on every node, at all times.
const TIMES_INTERVAL: Duration = Duration::from_secs(1);
/// Delay before a failed write is retried; doubles with each failure.
const MIN_RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_mins(1);

/// The objects whose stored status is out of date.
#[derive(Debug, Default)]
pub struct WriteQueue {
    /// Priority and sequence number of each object in `order`.
    waiting: HashMap<Key, (Priority, u64)>,
    order: BTreeSet<(Priority, u64, Key)>,
    /// Objects whose status is to be computed again at a later time.
    rechecks: BTreeMap<(Instant, u64), Key>,
    /// Time since which only numbers or times of an object differ.
    numbers_differ: HashMap<Key, Instant>,
    retries: HashMap<Key, Retry>,
    next_number: u64,
    /// Time of the next rate-limited write.
    next_write: Option<Instant>,
    /// Time of the next write in which only times differ.
    next_times: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Retry {
    at: Instant,
    delay: Duration,
}

impl WriteQueue {
    /// Adds an object with the priority of its write; removes it with `None`, if its status is up to date.
    pub fn set(&mut self, key: Key, priority: Option<Priority>, now: Instant) {
        if !priority.is_some_and(is_delayed) {
            self.numbers_differ.remove(&key);
        }
        let Some(priority) = priority else {
            self.dequeue(&key);
            return;
        };
        if is_delayed(priority) {
            self.numbers_differ.entry(key.clone()).or_insert(now);
        }
        if let Some(at) = self.not_before(&key, priority).filter(|at| *at > now) {
            self.dequeue(&key);
            self.recheck_at(key, at);
            return;
        }
        let number = match self.waiting.get(&key) {
            Some((old, _)) if *old == priority => return,
            // The object keeps its place among those that wait.
            Some((_, number)) => *number,
            None => self.number(),
        };
        self.dequeue(&key);
        self.waiting.insert(key.clone(), (priority, number));
        self.order.insert((priority, number, key));
    }

    fn not_before(&self, key: &Key, priority: Priority) -> Option<Instant> {
        let differs = self.numbers_differ.get(key).filter(|_| is_delayed(priority));
        let retry = self.retries.get(key).map(|retry| retry.at);
        retry.max(differs.map(|at| *at + NUMBERS_DELAY))
    }

    /// Schedules the computation of an object's status at `at`.
    pub fn recheck_at(&mut self, key: Key, at: Instant) {
        let number = self.number();
        self.rechecks.insert((at, number), key);
    }

    /// Removes and returns the objects whose scheduled time has come.
    pub fn due_rechecks(&mut self, now: Instant) -> Vec<Key> {
        let later = self.rechecks.split_off(&(now, u64::MAX));
        std::mem::replace(&mut self.rechecks, later).into_values().collect()
    }

    /// Removes and returns the next object that may be written now. The caller computes its status again, and calls
    /// [`WriteQueue::start_interval`] if the write is rate-limited.
    pub fn pop(&mut self, now: Instant) -> Option<Key> {
        let (priority, _, key) = self.order.first()?.clone();
        if self.allowed_at(priority).is_some_and(|at| at > now) {
            return None;
        }
        self.dequeue(&key);
        Some(key)
    }

    /// The time from which a write of `priority` is within the rate; `None` for any time.
    fn allowed_at(&self, priority: Priority) -> Option<Instant> {
        match priority {
            Priority::Answer => None,
            Priority::Condition | Priority::State | Priority::Numbers => self.next_write,
            Priority::Times => self.next_write.max(self.next_times),
        }
    }

    /// The time at which [`WriteQueue::pop`] may return another object.
    pub fn ready_at(&self) -> Option<Instant> {
        let (priority, ..) = self.order.first()?;
        self.allowed_at(*priority)
    }

    /// Delays the next rate-limited writes after a write of `priority`.
    pub fn start_interval(&mut self, priority: Priority, now: Instant) {
        if priority != Priority::Answer {
            self.next_write = Some(now + WRITE_INTERVAL);
        }
        if priority == Priority::Times {
            self.next_times = Some(now + TIMES_INTERVAL);
        }
    }

    /// Records a successful write.
    pub fn succeeded(&mut self, key: &Key) {
        self.retries.remove(key);
        self.numbers_differ.remove(key);
    }

    /// Records a failed write and schedules the retry.
    pub fn failed(&mut self, key: &Key, now: Instant) {
        let delay = self.retries.get(key).map_or(MIN_RETRY, |retry| (retry.delay * 2).min(MAX_RETRY));
        let at = now + delay;
        self.retries.insert(key.clone(), Retry { at, delay });
        self.recheck_at(key.clone(), at);
    }

    /// Forgets a deleted object.
    pub fn forget(&mut self, key: &Key) {
        self.dequeue(key);
        self.numbers_differ.remove(key);
        self.retries.remove(key);
    }

    /// The number of objects that wait, by priority.
    pub fn waiting(&self) -> BTreeMap<Priority, usize> {
        let mut waiting = BTreeMap::new();
        self.waiting.values().for_each(|(priority, _)| *waiting.entry(*priority).or_default() += 1);
        waiting
    }

    fn dequeue(&mut self, key: &Key) {
        if let Some((priority, number)) = self.waiting.remove(key) {
            self.order.remove(&(priority, number, key.clone()));
        }
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }
}

/// True if a write of `priority` is delayed by [`NUMBERS_DELAY`].
fn is_delayed(priority: Priority) -> bool {
    matches!(priority, Priority::Numbers | Priority::Times)
}

#[cfg(test)]
mod tests {
    use super::*;
    use maglev_kube::status_writer::StatusKind;
    use maglev_model::{Name, config::Kind};

    fn key(name: &str) -> Key {
        (StatusKind::Kind(Kind::Frontend), Name::namespaced("shop", name))
    }

    fn pop(queue: &mut WriteQueue, now: Instant) -> Option<String> {
        queue.pop(now).map(|(_, name)| name.name().to_owned())
    }

    #[test]
    fn objects_are_ordered_by_priority_then_by_waiting_time() {
        let (mut queue, now) = (WriteQueue::default(), Instant::now());
        queue.set(key("n"), Some(Priority::Numbers), now);
        let now = now + NUMBERS_DELAY;
        for (name, priority) in [
            ("n", Priority::Numbers),
            ("c1", Priority::Condition),
            ("s", Priority::State),
            ("c2", Priority::Condition),
            ("a", Priority::Answer),
        ] {
            queue.set(key(name), Some(priority), now);
        }
        // An object that is added again keeps its place.
        queue.set(key("c1"), Some(Priority::Condition), now);
        let order: Vec<_> = std::iter::from_fn(|| pop(&mut queue, now)).collect();
        assert_eq!(order, ["a", "c1", "c2", "s", "n"]);
    }

    #[test]
    fn writes_are_limited_to_five_per_second_except_answers() {
        let (mut queue, mut now) = (WriteQueue::default(), Instant::now());
        for n in 0..30 {
            queue.set(key(&format!("c{n:02}")), Some(Priority::Condition), now);
        }
        let start = now;
        let mut written = 0;
        while now < start + Duration::from_secs(2) {
            if pop(&mut queue, now).is_some() {
                queue.start_interval(Priority::Condition, now);
                written += 1;
            }
            now += Duration::from_millis(10);
        }
        assert_eq!(written, 10);
        queue.set(key("a"), Some(Priority::Answer), now);
        queue.start_interval(Priority::Condition, now);
        assert_eq!(queue.ready_at(), None, "an answer is ready at once");
        assert_eq!(pop(&mut queue, now).as_deref(), Some("a"));
        assert_eq!(pop(&mut queue, now), None);
        assert_eq!(queue.ready_at(), Some(now + WRITE_INTERVAL));
    }

    /// Lets `names` differ in `priority` at all times, and writes what the queue allows for `duration`. Returns the longest
    /// time between two writes of one object.
    fn longest_gap(names: u64, priority: Priority, duration: Duration) -> Duration {
        let (mut queue, start) = (WriteQueue::default(), Instant::now());
        let mut written: HashMap<Key, Instant> = (0..names).map(|n| (key(&format!("n{n:04}")), start)).collect();
        let (mut now, mut longest) = (start, Duration::ZERO);
        while now < start + duration {
            queue.due_rechecks(now);
            written.keys().for_each(|key| queue.set(key.clone(), Some(priority), now));
            while let Some(key) = queue.pop(now) {
                queue.start_interval(priority, now);
                queue.succeeded(&key);
                let before = written.insert(key, now);
                longest = longest.max(now - before.unwrap_or(start));
            }
            now += Duration::from_millis(100);
        }
        written.values().fold(longest, |longest, at| longest.max(now - *at))
    }

    #[test]
    fn numbers_are_at_most_ten_seconds_old_while_the_rate_allows() {
        for names in [1, 10, 20] {
            let gap = longest_gap(names, Priority::Numbers, Duration::from_mins(2));
            assert!(gap <= Duration::from_secs(10), "{names} objects: {gap:?}");
        }
        // Beyond the rate, all objects get the same share: 100 objects at five writes per second.
        let gap = longest_gap(100, Priority::Numbers, Duration::from_mins(3));
        assert!(gap > Duration::from_secs(18) && gap < Duration::from_secs(26), "{gap:?}");
    }

    #[test]
    fn times_are_written_once_per_second_and_last() {
        let gap = longest_gap(60, Priority::Times, Duration::from_mins(5));
        assert!(gap > Duration::from_secs(58) && gap < Duration::from_secs(70), "{gap:?}");
        let (mut queue, now) = (WriteQueue::default(), Instant::now());
        for (name, priority) in [("t", Priority::Times), ("n", Priority::Numbers)] {
            queue.set(key(name), Some(priority), now);
            queue.set(key(name), Some(priority), now + NUMBERS_DELAY);
        }
        let now = now + NUMBERS_DELAY;
        assert_eq!([pop(&mut queue, now), pop(&mut queue, now)], [Some("n".to_owned()), Some("t".to_owned())]);
    }

    #[test]
    fn write_of_a_higher_priority_is_not_delayed_by_numbers() {
        let (mut queue, now) = (WriteQueue::default(), Instant::now());
        queue.set(key("a"), Some(Priority::Numbers), now);
        assert_eq!(pop(&mut queue, now), None);
        queue.set(key("a"), Some(Priority::Condition), now);
        assert_eq!(pop(&mut queue, now).as_deref(), Some("a"));
    }

    #[test]
    fn failed_write_is_retried_with_increasing_delays() {
        let (mut queue, mut now) = (WriteQueue::default(), Instant::now());
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            queue.failed(&key("a"), now);
            queue.set(key("a"), Some(Priority::Answer), now);
            assert_eq!(pop(&mut queue, now), None);
            now += Duration::from_secs(seconds);
            assert!(queue.due_rechecks(now).contains(&key("a")), "after {seconds} s");
            queue.set(key("a"), Some(Priority::Answer), now);
            assert_eq!(pop(&mut queue, now).as_deref(), Some("a"));
        }
        queue.succeeded(&key("a"));
        queue.set(key("a"), Some(Priority::Answer), now);
        assert_eq!(pop(&mut queue, now).as_deref(), Some("a"));
    }

    #[test]
    fn object_that_is_up_to_date_again_is_not_written() {
        let (mut queue, now) = (WriteQueue::default(), Instant::now());
        queue.set(key("a"), Some(Priority::Condition), now);
        queue.set(key("a"), None, now);
        assert_eq!((pop(&mut queue, now), queue.waiting().len()), (None, 0));
    }
}

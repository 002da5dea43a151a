//! The rule by example, and its invariants as a property test.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use maglev_model::{actual::VppVip, plan::MASS_REMOVAL_AT_LEAST};

const HOLD: Duration = Duration::from_mins(5);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn vip(number: u8) -> Removal {
    let address = IpAddr::from([203, 0, 113, number]);
    Removal { vip: VppVip { address, length: 32, protocol: 6, port: 80 }, server: None }
}

fn server(vip_number: u8, number: u8) -> Removal {
    Removal { server: Some(IpAddr::from([192, 0, 2, number])), ..vip(vip_number) }
}

/// A node on which every VIP has its own address, and VPP executes steps at once.
struct Node {
    guard: MassRemovalGuard,
    start: Instant,
    now: Instant,
    vips: BTreeSet<u8>,
    desired: BTreeSet<u8>,
    /// Time at which each VIP was removed.
    removed_at: BTreeMap<u8, Duration>,
}

impl Node {
    fn new(vips: u8) -> Self {
        let start = Instant::now();
        let guard = MassRemovalGuard::new(fastrand::Rng::with_seed(7));
        let vips: BTreeSet<u8> = (1..=vips).collect();
        Self { guard, start, now: start, desired: vips.clone(), vips, removed_at: BTreeMap::new() }
    }

    fn plan(&mut self, number: u8) {
        let removed = self.vips.contains(&number) && !self.desired.contains(&number);
        let requested = if removed { BTreeSet::from([vip(number)]) } else { BTreeSet::new() };
        let totals = Totals { vips: self.vips.len(), servers: 0 };
        self.guard.forget_restored(|removal| *removal == vip(number) && self.desired.contains(&number));
        let deferred = self.guard.check(self.now, vip(number).vip.address, &requested, HOLD, || totals);
        if removed && deferred.is_empty() {
            self.vips.remove(&number);
            self.removed_at.insert(number, self.now - self.start);
        }
    }

    fn delete(&mut self, numbers: impl IntoIterator<Item = u8>) {
        for number in numbers {
            self.desired.remove(&number);
            self.plan(number);
        }
    }

    /// Applies the VIP again; VPP adds it if it was removed.
    fn restore(&mut self, number: u8) {
        self.desired.insert(number);
        self.plan(number);
        self.vips.insert(number);
        self.removed_at.remove(&number);
    }

    fn replan(&mut self, due: &BTreeSet<IpAddr>) {
        for number in 1..=u8::MAX {
            if due.contains(&vip(number).vip.address) {
                self.plan(number);
            }
        }
    }

    /// Advances the time, stopping at the guard's timers.
    fn advance(&mut self, time: Duration) {
        self.guard.forget_totals();
        let end = self.now + time;
        while let Some(next) = self.guard.next_timer().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            let due = self.guard.tick(self.now, HOLD);
            self.replan(&due);
        }
        self.now = end;
    }

    fn held(&mut self) -> Vec<usize> {
        self.guard.take_new_holds().into_iter().map(|held| held.removals).collect()
    }
}

#[test]
fn single_removal_is_granted_after_two_quiet_seconds() {
    let mut node = Node::new(2);
    node.delete([1]);
    node.advance(Duration::from_millis(1999));
    assert!(node.removed_at.is_empty());
    node.advance(Duration::from_millis(1));
    assert_eq!(node.removed_at, BTreeMap::from([(1, seconds(2))]));
    assert_eq!((node.held(), node.guard.next_timer()), (Vec::new(), None));
}

#[test]
fn four_of_four_are_granted_but_five_of_five_are_held() {
    let mut node = Node::new(4);
    node.delete(1..=4);
    node.advance(seconds(3));
    assert_eq!(node.removed_at.len(), 4);
    let mut node = Node::new(5);
    node.delete(1..=5);
    node.advance(seconds(3));
    assert_eq!((node.removed_at.len(), node.held()), (0, vec![5]));
    assert_eq!(node.held(), Vec::<usize>::new(), "published once");
    node.advance(HOLD);
    assert_eq!(node.removed_at.len(), 5);
}

#[test]
fn half_is_granted_and_more_is_held_as_a_whole() {
    let mut node = Node::new(20);
    node.delete(1..=10);
    node.advance(seconds(3));
    assert_eq!(node.removed_at.len(), 10);
    node.delete([11]);
    node.advance(seconds(3));
    assert_eq!(
        (node.removed_at.len(), node.held()),
        (10, vec![1]),
        "counted over 60 s, against the total at the start of that period"
    );
    node.advance(seconds(60));
    node.delete([12]);
    node.advance(seconds(3));
    assert_eq!(node.removed_at.len(), 11, "after the period, counting starts over");
}

#[test]
fn slow_prune_is_held_under_one_id_once_it_exceeds_half() {
    let mut node = Node::new(10);
    for number in 1..=10 {
        node.delete([number]);
        node.advance(seconds(3));
    }
    assert_eq!(node.removed_at.len(), 5);
    let held = node.guard.take_new_holds();
    assert_eq!(held.iter().map(|held| held.removals).collect::<Vec<_>>(), [5]);
    assert!(node.guard.accept(&BTreeSet::from(["00".into()])).is_empty());
    let due = node.guard.accept(&BTreeSet::from([held[0].id.as_str().into(), "00".into()]));
    assert_eq!(due.len(), 5);
    node.replan(&due);
    assert_eq!((node.vips.len(), node.guard.next_timer()), (0, None));
}

#[test]
fn steady_stream_of_removals_waits_ten_seconds_at_most() {
    let mut node = Node::new(100);
    for number in 1..=12 {
        node.delete([number]);
        node.advance(seconds(1));
    }
    assert_eq!(node.removed_at.values().next(), Some(&seconds(10)));
}

#[test]
fn restored_vips_are_neither_removed_nor_counted() {
    let mut node = Node::new(8);
    node.delete(1..=6);
    for number in 1..=5 {
        node.restore(number);
    }
    node.advance(seconds(3));
    assert_eq!((node.removed_at.len(), node.held()), (1, Vec::new()), "while they waited");
    let mut node = Node::new(8);
    node.delete(1..=6);
    node.advance(seconds(3));
    assert_eq!(node.held(), [6]);
    for number in 1..=6 {
        node.restore(number);
    }
    node.advance(HOLD * 2);
    assert_eq!((node.removed_at.len(), node.guard.next_timer()), (0, None), "while they were held");
}

#[test]
fn removed_vips_that_are_applied_again_no_longer_count() {
    let mut node = Node::new(10);
    for number in 1..=5 {
        node.delete([number]);
        node.advance(seconds(3));
    }
    assert_eq!(node.removed_at.len(), 5);
    for number in 1..=4 {
        node.restore(number);
    }
    node.advance(seconds(1));
    node.delete([9]);
    node.advance(seconds(3));
    assert_eq!((node.removed_at.contains_key(&9), node.held()), (true, Vec::new()));
    // Deleted once more, they count again.
    node.delete(1..=4);
    node.advance(seconds(3));
    assert_eq!(node.held(), [4]);
}

#[test]
fn vips_absent_from_vpp_need_no_removal() {
    let mut node = Node::new(8);
    node.delete(1..=8);
    node.advance(seconds(3));
    node.guard.retain_present(|removal| *removal == vip(3));
    let held = node.guard.holds.iter().map(|hold| hold.removals.len()).collect::<Vec<_>>();
    assert_eq!(held, [1]);
    node.guard.retain_present(|_| false);
    assert_eq!(node.guard.next_timer(), None);
}

#[test]
fn servers_are_granted_at_once_up_to_half_and_counted_apart_from_vips() {
    let mut guard = MassRemovalGuard::new(fastrand::Rng::with_seed(7));
    let now = Instant::now();
    let totals = || Totals { vips: 4, servers: 16 };
    let mut deferred = Vec::new();
    for number in 1..=4 {
        let requested: BTreeSet<Removal> = (1..=3).map(|last| server(number, last)).collect();
        deferred.push(guard.check(now, vip(number).vip.address, &requested, HOLD, totals).len());
    }
    assert_eq!(deferred, [0, 0, 3, 3]);
    assert_eq!(guard.take_new_holds().iter().map(|held| held.removals).collect::<Vec<_>>(), [6]);
    let removal = BTreeSet::from([vip(9)]);
    assert_eq!(
        guard.check(now, vip(9).vip.address, &removal, HOLD, totals),
        removal,
        "a VIP removal waits for further VIP removals"
    );
    guard.tick(now + seconds(2), HOLD);
    assert!(guard.check(now + seconds(2), vip(9).vip.address, &removal, HOLD, totals).is_empty());
}

#[test]
fn zero_hold_time_holds_nothing() {
    let mut guard = MassRemovalGuard::new(fastrand::Rng::with_seed(7));
    let requested: BTreeSet<Removal> = (1..=9).map(|last| server(1, last)).collect();
    let totals = || Totals { vips: 1, servers: 9 };
    let deferred = guard.check(Instant::now(), vip(1).vip.address, &requested, Duration::ZERO, totals);
    assert!(deferred.is_empty() && guard.take_new_holds().is_empty());
}

#[derive(Clone, Debug)]
enum Act {
    Delete(Vec<u8>),
    Restore(u8),
    Advance(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => prop::collection::vec(1..=24u8, 1..8).prop_map(Act::Delete),
        1 => (1..=24u8).prop_map(Act::Restore),
        3 => (0..90_000u64).prop_map(Act::Advance),
        2 => (0..3_000u64).prop_map(Act::Advance),
    ]
}

proptest! {
    #[test]
    fn at_least_half_stays_during_a_hold_and_all_is_granted_in_the_end(
        total in 1..=24u8,
        acts in prop::collection::vec(act(), 1..40),
    ) {
        let mut node = Node::new(total);
        let mut requested: BTreeMap<u8, Duration> = BTreeMap::new();
        for act in acts {
            let now = node.now - node.start;
            match act {
                Act::Delete(numbers) => {
                    for number in numbers.into_iter().filter(|number| *number <= total) {
                        if node.desired.contains(&number) && node.vips.contains(&number) {
                            requested.insert(number, now);
                        }
                        node.delete([number]);
                    }
                }
                Act::Restore(number) if number <= total => node.restore(number),
                Act::Restore(_) => {}
                Act::Advance(millis) => node.advance(Duration::from_millis(millis)),
            }
        }
        // The longest delay: a batch, a hold that grew during its first 60 s, and the batch that made it grow.
        node.advance(HOLD + COUNT_PERIOD + LONGEST_WAIT);
        prop_assert!(node.vips.iter().all(|number| node.desired.contains(number)), "only desired VIPs are left in the end");
        let waited = |number: &u8| node.removed_at[number] - requested[number];
        for (number, removed_at) in &node.removed_at {
            prop_assert!(waited(number) >= QUIET, "{number} was removed early");
            let recent = node.removed_at.iter().filter(|(other, at)| {
                let counted = requested[other]..requested[other] + COUNT_PERIOD;
                **at <= *removed_at && counted.contains(removed_at) && waited(other) < HOLD
            });
            let most = (MASS_REMOVAL_AT_LEAST - 1).max(usize::from(total) / 2);
            prop_assert!(recent.count() <= most, "too many were removed with {number}: {:?}", node.removed_at);
        }
    }
}

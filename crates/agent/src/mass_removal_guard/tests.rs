//! The rule by example, and what holds whatever is asked.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use maglev_model::actual::VppVip;

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

/// A node on which every VIP has an address of its own, and VPP does what it is told at once.
struct Node {
    guard: MassRemovalGuard,
    start: Instant,
    now: Instant,
    vips: BTreeSet<u8>,
    wanted: BTreeSet<u8>,
    /// When each VIP went.
    went: BTreeMap<u8, Duration>,
}

impl Node {
    fn new(vips: u8) -> Self {
        let start = Instant::now();
        let guard = MassRemovalGuard::new(fastrand::Rng::with_seed(7));
        let vips: BTreeSet<u8> = (1..=vips).collect();
        Self { guard, start, now: start, wanted: vips.clone(), vips, went: BTreeMap::new() }
    }

    fn plan(&mut self, number: u8) {
        let gone = self.vips.contains(&number) && !self.wanted.contains(&number);
        let asked = if gone { BTreeSet::from([vip(number)]) } else { BTreeSet::new() };
        let totals = Totals { vips: self.vips.len(), servers: 0 };
        let deferred = self.guard.check(self.now, vip(number).vip.address, &asked, HOLD, || totals);
        if gone && deferred.is_empty() {
            self.vips.remove(&number);
            self.went.insert(number, self.now - self.start);
        }
    }

    fn delete(&mut self, numbers: impl IntoIterator<Item = u8>) {
        for number in numbers {
            self.wanted.remove(&number);
            self.plan(number);
        }
    }

    fn restore(&mut self, number: u8) {
        self.wanted.insert(number);
        self.plan(number);
    }

    fn replan(&mut self, due: &BTreeSet<IpAddr>) {
        for number in 1..=u8::MAX {
            if due.contains(&vip(number).vip.address) {
                self.plan(number);
            }
        }
    }

    /// Lets time pass, stopping where the removals want to.
    fn pass(&mut self, time: Duration) {
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
fn one_of_few_goes_after_two_quiet_seconds() {
    let mut node = Node::new(2);
    node.delete([1]);
    node.pass(Duration::from_millis(1999));
    assert!(node.went.is_empty());
    node.pass(Duration::from_millis(1));
    assert_eq!(node.went, BTreeMap::from([(1, seconds(2))]));
    assert_eq!((node.held(), node.guard.next_timer()), (Vec::new(), None));
}

#[test]
fn all_four_of_four_go_but_five_of_five_are_held() {
    let mut node = Node::new(4);
    node.delete(1..=4);
    node.pass(seconds(3));
    assert_eq!(node.went.len(), 4);
    let mut node = Node::new(5);
    node.delete(1..=5);
    node.pass(seconds(3));
    assert_eq!((node.went.len(), node.held()), (0, vec![5]));
    assert_eq!(node.held(), Vec::<usize>::new(), "published once");
    node.pass(HOLD);
    assert_eq!(node.went.len(), 5);
}

#[test]
fn half_goes_and_more_is_held_as_a_whole() {
    let mut node = Node::new(20);
    node.delete(1..=10);
    node.pass(seconds(3));
    assert_eq!(node.went.len(), 10);
    node.delete([11]);
    node.pass(seconds(3));
    assert_eq!((node.went.len(), node.held()), (10, vec![1]), "counted over 60 s against what was there at the start");
    node.pass(seconds(60));
    node.delete([12]);
    node.pass(seconds(3));
    assert_eq!(node.went.len(), 11, "a later one stands for itself");
}

#[test]
fn a_slow_prune_is_held_once_it_is_above_half_under_one_id() {
    let mut node = Node::new(10);
    for number in 1..=10 {
        node.delete([number]);
        node.pass(seconds(3));
    }
    assert_eq!(node.went.len(), 5);
    let held = node.guard.take_new_holds();
    assert_eq!(held.iter().map(|held| held.removals).collect::<Vec<_>>(), [5]);
    assert_eq!(node.guard.accept(&"00".into()), None);
    let due = node.guard.accept(&held[0].id).unwrap();
    assert_eq!(due.len(), 5);
    node.replan(&due);
    assert_eq!((node.vips.len(), node.guard.next_timer()), (0, None));
}

#[test]
fn a_steady_stream_waits_ten_seconds_at_most() {
    let mut node = Node::new(100);
    for number in 1..=12 {
        node.delete([number]);
        node.pass(seconds(1));
    }
    assert_eq!(node.went.values().next(), Some(&seconds(10)));
}

#[test]
fn what_comes_back_is_neither_removed_nor_counted() {
    let mut node = Node::new(8);
    node.delete(1..=6);
    for number in 1..=5 {
        node.restore(number);
    }
    node.pass(seconds(3));
    assert_eq!((node.went.len(), node.held()), (1, Vec::new()), "while they waited");
    let mut node = Node::new(8);
    node.delete(1..=6);
    node.pass(seconds(3));
    assert_eq!(node.held(), [6]);
    for number in 1..=6 {
        node.restore(number);
    }
    node.pass(HOLD * 2);
    assert_eq!((node.went.len(), node.guard.next_timer()), (0, None), "while they were held");
}

#[test]
fn a_vpp_that_lost_them_needs_no_removal() {
    let mut node = Node::new(8);
    node.delete(1..=8);
    node.pass(seconds(3));
    node.guard.retain_present(|removal| *removal == vip(3));
    let held = node.guard.holds.iter().map(|hold| hold.removals.len()).collect::<Vec<_>>();
    assert_eq!(held, [1]);
    node.guard.retain_present(|_| false);
    assert_eq!(node.guard.next_timer(), None);
}

#[test]
fn servers_go_at_once_up_to_half_and_are_counted_apart_from_vips() {
    let mut guard = MassRemovalGuard::new(fastrand::Rng::with_seed(7));
    let now = Instant::now();
    let totals = || Totals { vips: 4, servers: 16 };
    let mut deferred = Vec::new();
    for number in 1..=4 {
        let asked: BTreeSet<Removal> = (1..=3).map(|last| server(number, last)).collect();
        deferred.push(guard.check(now, vip(number).vip.address, &asked, HOLD, totals).len());
    }
    assert_eq!(deferred, [0, 0, 3, 3]);
    assert_eq!(guard.take_new_holds().iter().map(|held| held.removals).collect::<Vec<_>>(), [6]);
    let gone = BTreeSet::from([vip(9)]);
    assert_eq!(guard.check(now, vip(9).vip.address, &gone, HOLD, totals), gone, "it waits for others");
    guard.tick(now + seconds(2), HOLD);
    assert!(guard.check(now + seconds(2), vip(9).vip.address, &gone, HOLD, totals).is_empty());
}

#[test]
fn without_a_hold_time_nothing_is_held() {
    let mut guard = MassRemovalGuard::new(fastrand::Rng::with_seed(7));
    let asked: BTreeSet<Removal> = (1..=9).map(|last| server(1, last)).collect();
    let totals = || Totals { vips: 1, servers: 9 };
    let deferred = guard.check(Instant::now(), vip(1).vip.address, &asked, Duration::ZERO, totals);
    assert!(deferred.is_empty() && guard.take_new_holds().is_empty());
}

#[derive(Clone, Debug)]
enum Act {
    Delete(Vec<u8>),
    Restore(u8),
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => prop::collection::vec(1..=24u8, 1..8).prop_map(Act::Delete),
        1 => (1..=24u8).prop_map(Act::Restore),
        3 => (0..90_000u64).prop_map(Act::Pass),
        2 => (0..3_000u64).prop_map(Act::Pass),
    ]
}

proptest! {
    #[test]
    fn whatever_is_asked_half_stays_for_the_time_of_a_hold_and_all_goes_in_the_end(
        total in 1..=24u8,
        acts in prop::collection::vec(act(), 1..40),
    ) {
        let mut node = Node::new(total);
        let mut asked: BTreeMap<u8, Duration> = BTreeMap::new();
        for act in acts {
            let now = node.now - node.start;
            match act {
                Act::Delete(numbers) => {
                    for number in numbers.into_iter().filter(|number| *number <= total) {
                        if node.wanted.contains(&number) && node.vips.contains(&number) {
                            asked.insert(number, now);
                        }
                        node.delete([number]);
                    }
                }
                Act::Restore(number) if node.vips.contains(&number) => node.restore(number),
                Act::Restore(_) => {}
                Act::Pass(millis) => node.pass(Duration::from_millis(millis)),
            }
        }
        // Longest: a batch, a hold that grew during its first 60 s, and the batch that did it.
        node.pass(HOLD + COUNTED + LONGEST_WAIT);
        prop_assert!(node.vips.iter().all(|number| node.wanted.contains(number)), "all goes in the end");
        let waited = |number: &u8| node.went[number] - asked[number];
        for (number, went) in &node.went {
            prop_assert!(waited(number) >= QUIET, "{number} went early");
            let recent = node.went.iter().filter(|(other, at)| {
                **at <= *went && asked[other] + COUNTED > *went && asked[other] <= *went && waited(other) < HOLD
            });
            let most = (AT_LEAST - 1).max(usize::from(total) / 2);
            prop_assert!(recent.count() <= most, "too many went with {number}: {:?}", node.went);
        }
    }
}

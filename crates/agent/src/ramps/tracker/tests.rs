//! The rule by example.

mod sequences;

use maglev_model::{
    config::{Member, Pool},
    weights::{BackendCondition, effective_weights_by},
};
use maglev_testkit::objects::{backend, member};

use super::*;
use BackendCondition::{Down, NeverKnown, Paused, Suspect, Unknown, Up};

/// Ten steps, 10 s apart.
const CONF: RampUp = RampUp { duration: Duration::from_secs(90), steps: 10 };

fn address(number: u8) -> IpAddr {
    [192, 0, 2, number].into()
}

fn pool(name: &str, members: &[(u8, u8)]) -> Pool {
    let entry = |&(number, weight): &(u8, u8)| {
        let backend = backend(&format!("b{number}"), &address(number).to_string());
        Member { weight: Weight::clamped(weight), ..member(backend) }
    };
    Pool { name: name.into(), members: members.iter().map(entry).collect() }
}

/// A VIP whose VPP executes steps at once.
struct Scene {
    tracker: Tracker,
    conf: RampUp,
    now: Instant,
    pools: Vec<Pool>,
    conditions: BTreeMap<u8, BackendCondition>,
    vpp: BTreeMap<IpAddr, u8>,
    running: RunningRamps,
}

impl Scene {
    /// Backends 1 to 6 are up.
    fn new(pools: &[Pool]) -> Self {
        let mut scene = Self {
            tracker: Tracker::new(CONF),
            conf: CONF,
            now: Instant::now(),
            pools: pools.to_vec(),
            conditions: (1..=6).map(|number| (number, Up)).collect(),
            vpp: BTreeMap::new(),
            running: RunningRamps::new(),
        };
        scene.plan();
        scene
    }

    /// Backends 1, 2 and 3 with weight 10 serve.
    fn serving() -> Self {
        let scene = Self::new(&[pool("p0", &[(1, 10), (2, 10), (3, 10)])]);
        assert_eq!(scene.weights(), [10, 10, 10], "the first programming is not ramped");
        scene
    }

    fn limited(&mut self) -> BTreeMap<IpAddr, DesiredAs> {
        let condition = |_, member: &Member| self.conditions[&member.backend.name()[1..].parse().expect("a number")];
        let mut effective = effective_weights_by(&self.pools, condition, |address| self.vpp.get(&address).copied());
        let active = effective.active_pool.map(|index| Arc::clone(&self.pools[index].name));
        self.tracker.set_conf(self.conf);
        self.running = self.tracker.limit(self.now, active, &mut effective.ases, |at| self.vpp.get(&at).copied());
        effective.ases
    }

    /// Plans the VIP, and executes the plan.
    fn plan(&mut self) {
        let ases = self.limited();
        let old = std::mem::take(&mut self.vpp);
        let weight = |(address, server): (&IpAddr, &DesiredAs)| match server.weight {
            DesiredWeight::Keep { if_absent: None } => Some((*address, *old.get(address)?)),
            weight => Some((*address, weight.effective(old.get(address).copied()))),
        };
        self.vpp = ases.iter().filter_map(weight).collect();
    }

    /// Lets time pass. Each timer plans.
    fn pass(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        while let Some(next) = self.running.values().map(|ramp| ramp.next).min().filter(|next| *next <= until) {
            assert!(next > self.now, "a timer in the past");
            self.now = next;
            self.plan();
        }
        self.now = until;
    }

    fn set(&mut self, number: u8, condition: BackendCondition) {
        self.conditions.insert(number, condition);
        self.plan();
    }

    fn set_pools(&mut self, pools: &[Pool]) {
        self.pools = pools.to_vec();
        self.plan();
    }

    fn by_hand(&mut self, number: u8, weight: u8) {
        self.vpp.insert(address(number), weight);
        self.plan();
    }

    fn restart(&mut self) {
        self.tracker = Tracker::new(self.conf);
        self.plan();
    }

    fn weight(&self, number: u8) -> u8 {
        self.vpp.get(&address(number)).copied().unwrap_or(0)
    }

    fn weights(&self) -> Vec<u8> {
        self.vpp.values().copied().collect()
    }

    /// The step of a server that ramps, and the seconds to its full weight.
    fn ramp(&self, number: u8) -> Option<(u8, u64)> {
        let ramp = self.running.get(&address(number))?;
        Some((ramp.step, (ramp.full_at - self.now).as_secs()))
    }
}

#[test]
fn backend_that_comes_up_gets_its_weight_in_steps() {
    let mut scene = Scene::serving();
    scene.set(3, Down);
    assert_eq!((scene.weight(3), scene.ramp(3)), (0, None));
    scene.set(3, Up);
    for step in 1..10u8 {
        assert_eq!(scene.weights(), [10, 10, step]);
        assert_eq!(scene.ramp(3), Some((step, 10 * (10 - u64::from(step)))));
        scene.pass(9);
        scene.plan();
        assert_eq!(scene.weight(3), step, "not yet, however often it is planned");
        scene.pass(1);
    }
    assert_eq!((scene.weights(), scene.ramp(3)), (vec![10, 10, 10], None));
}

#[test]
fn added_backend_ramps_and_so_does_one_whose_weight_was_0() {
    let mut scene = Scene::serving();
    scene.set_pools(&[pool("p0", &[(1, 10), (2, 10), (3, 0), (4, 20)])]);
    assert_eq!(scene.weights(), [10, 10, 0, 2]);
    scene.set_pools(&[pool("p0", &[(1, 10), (2, 10), (3, 10), (4, 20)])]);
    assert_eq!(scene.weights(), [10, 10, 1, 2]);
    scene.pass(90);
    assert_eq!(scene.weights(), [10, 10, 10, 20]);
    scene.set(4, Paused);
    scene.set(4, Unknown);
    scene.set(4, Up);
    assert_eq!(scene.weight(4), 2, "enabled again");
}

#[test]
fn backend_that_goes_down_loses_its_weight_at_once_and_begins_anew() {
    let mut scene = Scene::serving();
    scene.set(3, Down);
    scene.set(3, Up);
    scene.pass(45);
    assert_eq!(scene.weight(3), 5);
    scene.set(3, Down);
    assert_eq!(scene.weight(3), 0);
    scene.pass(3);
    scene.set(3, Up);
    assert_eq!((scene.weight(3), scene.ramp(3)), (1, Some((1, 90))));
}

#[test]
fn restarted_agent_goes_on_from_the_weight_in_vpp() {
    let mut scene = Scene::serving();
    scene.set(3, Down);
    scene.set(3, Up);
    scene.pass(34);
    let mark = scene.weight(3);
    assert_eq!(mark, 4);
    scene.restart();
    assert_eq!((scene.weight(3), scene.ramp(3)), (4, Some((4, 60))));
    scene.pass(10);
    assert_eq!(scene.weight(3), 5);
    scene.pass(50);
    assert_eq!(scene.weight(3), 10);
    scene.restart();
    assert_eq!((scene.weights(), scene.ramp(3)), (vec![10, 10, 10], None), "the ramp had ended");
}

#[test]
fn restarted_agent_ramps_a_backend_that_comes_up_later() {
    let mut scene = Scene::serving();
    scene.set(3, Down);
    scene.conditions.insert(3, NeverKnown);
    scene.restart();
    assert_eq!(scene.weight(3), 0);
    scene.set(3, Up);
    assert_eq!(scene.weight(3), 1);
}

#[test]
fn restarted_agent_keeps_the_step_while_the_health_is_not_known() {
    let mut scene = Scene::serving();
    scene.set(3, Down);
    scene.set(3, Up);
    scene.pass(30);
    scene.conditions.insert(3, NeverKnown);
    scene.restart();
    assert_eq!((scene.weight(3), scene.ramp(3)), (4, None));
    scene.set(3, Up);
    assert_eq!((scene.weight(3), scene.ramp(3)), (4, Some((4, 60))));
}

#[test]
fn last_backend_and_first_one_are_not_ramped() {
    let mut scene = Scene::serving();
    for number in 1..=3 {
        scene.set(number, Down);
    }
    scene.set(2, Up);
    assert_eq!(scene.weights(), [0, 10, 0], "no other backend serves");
    scene.set(1, Up);
    assert_eq!(scene.weights(), [1, 10, 0]);
    scene.set(3, Up);
    scene.set(2, Down);
    assert_eq!(scene.weights(), [10, 0, 10], "nobody with a full weight is left");
    assert_eq!(scene.running.len(), 0);
}

#[test]
fn failover_is_not_ramped_and_neither_is_the_way_back() {
    let pools = [pool("p0", &[(1, 10), (2, 0)]), pool("p1", &[(2, 10), (3, 10)])];
    let mut scene = Scene::new(&pools);
    assert_eq!(scene.weights(), [10, 0, 0]);
    scene.set(1, Down);
    assert_eq!(scene.weights(), [0, 10, 10]);
    scene.set(1, Up);
    assert_eq!(scene.weights(), [10, 0, 0]);
    // A backend serves in both pools.
    let [first, second] = [pool("p0", &[(1, 10), (2, 10)]), pool("p1", &[(2, 10), (3, 10)])];
    let mut scene = Scene::new(&[first.clone(), second.clone()]);
    assert_eq!(scene.weights(), [10, 10, 0]);
    scene.set_pools(&[second, first]);
    assert_eq!(scene.weights(), [0, 10, 10], "another pool is active");
}

#[test]
fn weight_of_a_serving_backend_changes_at_once() {
    let mut scene = Scene::serving();
    scene.set_pools(&[pool("p0", &[(1, 10), (2, 30), (3, 5)])]);
    assert_eq!(scene.weights(), [10, 30, 5]);
    // In a ramp, the steps are those of the new weight, and none is lower than what VPP has.
    scene.set(2, Down);
    scene.set(2, Up);
    scene.pass(30);
    assert_eq!((scene.weight(2), scene.ramp(2)), (12, Some((4, 60))));
    scene.set_pools(&[pool("p0", &[(1, 10), (2, 50), (3, 5)])]);
    assert_eq!((scene.weight(2), scene.ramp(2)), (20, Some((4, 60))));
    scene.set_pools(&[pool("p0", &[(1, 10), (2, 25), (3, 5)])]);
    assert_eq!((scene.weight(2), scene.ramp(2)), (20, Some((8, 20))), "not lowered to 10");
    scene.set_pools(&[pool("p0", &[(1, 10), (2, 15), (3, 5)])]);
    assert_eq!((scene.weight(2), scene.ramp(2)), (15, None), "a configured weight below that of the ramp");
}

#[test]
fn weight_changed_by_another_client_is_no_step() {
    let mut scene = Scene::serving();
    for weight in [0, 3] {
        scene.by_hand(3, weight);
        assert_eq!(scene.weights(), [10, 10, 10], "repaired at once");
    }
    scene.set(3, Down);
    scene.set(3, Up);
    scene.pass(30);
    for (weight, repaired) in [(0, 4), (2, 4), (4, 4), (7, 7)] {
        scene.by_hand(3, weight);
        assert_eq!(scene.weight(3), repaired);
    }
    assert_eq!(scene.ramp(3), Some((7, 30)), "goes on from what VPP has");
    scene.by_hand(3, 200);
    assert_eq!((scene.weight(3), scene.ramp(3)), (10, None));
}

#[test]
fn restarted_vpp_gets_full_weights() {
    let mut scene = Scene::serving();
    scene.set(3, Down);
    scene.set(3, Up);
    scene.vpp.clear();
    scene.plan();
    assert_eq!(scene.weights(), [10, 10, 10]);
    // Only some of the servers could be added.
    scene.vpp = [(address(1), 10)].into();
    scene.plan();
    assert_eq!(scene.weights(), [10, 10, 10]);
}

#[test]
fn step_that_vpp_refuses_is_repeated_and_not_skipped() {
    let mut scene = Scene::serving();
    scene.set(3, Down);
    scene.set(3, Up);
    for _ in 0..5 {
        scene.now += Duration::from_secs(60);
        let ases = scene.limited();
        assert_eq!(ases[&address(3)].weight, DesiredWeight::Set(Weight::clamped(2)));
        assert!(scene.running[&address(3)].next > scene.now);
    }
    scene.plan();
    scene.pass(10);
    assert_eq!(scene.weight(3), 3);
}

#[test]
fn changed_settings_go_on_from_the_weight_in_vpp() {
    let mut scene = Scene::serving();
    scene.set(3, Down);
    scene.set(3, Up);
    scene.pass(30);
    scene.conf = RampUp { duration: Duration::from_secs(40), steps: 5 };
    scene.plan();
    assert_eq!((scene.weight(3), scene.ramp(3)), (4, Some((2, 30))));
    scene.conf = RampUp { duration: Duration::from_secs(10), steps: 2 };
    scene.plan();
    assert_eq!((scene.weight(3), scene.ramp(3)), (5, Some((1, 10))));
}

#[test]
fn weight_with_fewer_steps_than_the_ramp_is_full_earlier() {
    let mut scene = Scene::new(&[pool("p0", &[(1, 10), (2, 3), (3, 1)])]);
    scene.set(2, Down);
    scene.set(2, Up);
    assert_eq!((scene.weight(2), scene.ramp(2)), (1, Some((1, 60))));
    scene.pass(30);
    assert_eq!((scene.weight(2), scene.ramp(2)), (2, Some((4, 30))));
    scene.pass(30);
    assert_eq!((scene.weight(2), scene.ramp(2)), (3, None));
    scene.set(3, Down);
    scene.set(3, Up);
    assert_eq!((scene.weight(3), scene.ramp(3)), (1, None), "a weight of 1 has no steps");
}

#[test]
fn suspect_backend_keeps_its_step_and_a_new_one_is_added_with_the_first() {
    let mut scene = Scene::serving();
    scene.set(3, Down);
    scene.set(3, Up);
    scene.pass(30);
    scene.set(3, Suspect);
    scene.pass(300);
    scene.plan();
    assert_eq!((scene.weight(3), scene.ramp(3)), (4, None));
    scene.set(3, Up);
    assert_eq!((scene.weight(3), scene.ramp(3)), (5, Some((5, 50))));
    scene.conditions.insert(4, Suspect);
    scene.set_pools(&[pool("p0", &[(1, 10), (2, 10), (3, 10), (4, 10)])]);
    assert_eq!(scene.weight(4), 1);
    scene.set(4, Up);
    assert_eq!(scene.ramp(4), Some((1, 90)));
}

//! Invariants over sequences of changes, as a property test.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Event {
    Condition(u8, BackendCondition),
    Weight(u8, u8),
    SwapPools,
    Conf(RampUp),
    Pass(u64),
    /// Plans without VPP executing anything.
    Refuse,
    ByHand(u8, u8),
    RestartAgent,
    RestartVpp,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let weights = || prop_oneof![Just(0u8), Just(1), Just(3), Just(10), Just(20), Just(100)];
    let conditions = prop_oneof![6 => Just(Up), 4 => Just(Down), 1 => Just(Suspect), 1 => Just(NeverKnown)];
    let conf = (10u64..120, 2u8..=20).prop_map(|(s, steps)| RampUp { duration: Duration::from_secs(s), steps });
    let event = prop_oneof![
        8 => (1u8..=6, conditions).prop_map(|(number, condition)| Event::Condition(number, condition)),
        2 => (1u8..=6, weights()).prop_map(|(number, weight)| Event::Weight(number, weight)),
        6 => (1u64..40).prop_map(Event::Pass),
        1 => Just(Event::SwapPools),
        1 => conf.prop_map(Event::Conf),
        2 => Just(Event::Refuse),
        2 => (1u8..=6, weights()).prop_map(|(number, weight)| Event::ByHand(number, weight)),
        2 => Just(Event::RestartAgent),
        1 => Just(Event::RestartVpp),
    ];
    prop::collection::vec(event, 1..60)
}

/// The state around one plan.
struct Before {
    vpp: BTreeMap<IpAddr, u8>,
    running: RunningRamps,
    active_pool: Option<Arc<str>>,
    conf: RampUp,
}

impl Scene {
    fn condition(&self, member: &Member) -> BackendCondition {
        self.conditions[&member.backend.name()[1..].parse().expect("a number")]
    }

    /// The desired weights without ramps, and the name of the active pool.
    fn desired(&self, vpp: &BTreeMap<IpAddr, u8>) -> (BTreeMap<IpAddr, DesiredWeight>, Option<Arc<str>>) {
        let condition = |_, member: &Member| self.condition(member);
        let effective = effective_weights_by(&self.pools, condition, |address| vpp.get(&address).copied());
        let active = effective.active_pool.map(|index| Arc::clone(&self.pools[index].name));
        (effective.ases.iter().map(|(address, server)| (*address, server.weight)).collect(), active)
    }

    fn before(&self, active_pool: Option<Arc<str>>) -> Before {
        let (vpp, running) = (self.vpp.clone(), self.running.clone());
        Before { vpp, running, active_pool, conf: self.tracker.conf }
    }

    /// Checks the result of a plan. Returns the active pool.
    fn check(&self, before: &Before) -> Result<Option<Arc<str>>, TestCaseError> {
        let (desired, active) = self.desired(&before.vpp);
        let in_vpp = |address: &IpAddr| before.vpp.get(address).copied().unwrap_or(0);
        let mut could_serve = false;
        for (address, weight) in &desired {
            let DesiredWeight::Set(full) = *weight else { continue };
            let (was, now) = (in_vpp(address), self.vpp[address]);
            could_serve |= full > Weight::ZERO;
            prop_assert!(now <= full.get(), "{address} has {now}, more than {full}");
            prop_assert!(now >= was.min(full.get()), "{address} falls from {was} to {now} of {full}");
            prop_assert!(now > 0 || full == Weight::ZERO, "{address} has nothing of {full}");
            let Some(ramp) = self.running.get(address) else {
                prop_assert_eq!(now, full.get(), "{} does not ramp", address);
                continue;
            };
            prop_assert!(
                now < full.get() && ramp.weight.get() == now && ramp.next > self.now && ramp.full_at >= ramp.next
            );
            let is_failover = before.active_pool.is_some() && before.active_pool != active;
            prop_assert!(!is_failover, "{address} ramps in a failover");
            let others = desired.iter().any(|(other, weight)| {
                other != address
                    && in_vpp(other) > 0
                    && weight.effective(Some(in_vpp(other))) > 0
                    && !self.running.contains_key(other)
            });
            prop_assert!(others, "{address} ramps, but no other backend serves with its full weight");
            if let Some(earlier) = before.running.get(address).filter(|_| before.conf == self.conf) {
                let next = self.conf.weight_at(full, earlier.step + 1).get();
                // A weight of another client, rounded up to a step.
                let in_steps = |was| self.conf.weight_at(full, self.conf.first_step_with(full, was)).get();
                prop_assert!(now <= next.max(in_steps(was)), "{address} skips a step: {was} to {now} of {full}");
            }
        }
        let serves = self.vpp.values().any(|weight| *weight > 0);
        prop_assert!(serves || !could_serve, "nothing serves");
        Ok(active)
    }
}

proptest! {
    #[test]
    fn ramps_only_rise_and_always_end(events in events()) {
        let mut scene = Scene::new(&[pool("p0", &[(1, 10), (2, 10), (3, 20)]), pool("p1", &[(3, 10), (4, 10), (5, 1)])]);
        let mut active = scene.desired(&scene.vpp).1;
        for event in events {
            let passes = match event {
                Event::Condition(number, condition) => {
                    scene.conditions.insert(number, condition);
                    0
                }
                Event::Weight(number, weight) => {
                    for member in scene.pools.iter_mut().flat_map(|pool| &mut pool.members) {
                        if member.target.address() == Some(address(number)) {
                            member.weight = Weight::clamped(weight);
                        }
                    }
                    0
                }
                Event::SwapPools => {
                    scene.pools.reverse();
                    0
                }
                Event::Conf(conf) => {
                    scene.conf = conf;
                    0
                }
                Event::Pass(seconds) => seconds,
                Event::Refuse => {
                    scene.limited();
                    active = scene.desired(&scene.vpp).1;
                    continue;
                }
                Event::ByHand(number, weight) => {
                    if let Some(in_vpp) = scene.vpp.get_mut(&address(number)) {
                        *in_vpp = weight;
                    }
                    0
                }
                Event::RestartAgent => {
                    scene.tracker = Tracker::new(scene.conf);
                    active = None;
                    0
                }
                Event::RestartVpp => {
                    scene.vpp.clear();
                    0
                }
            };
            for _ in 0..=passes {
                let before = scene.before(active);
                scene.plan();
                active = scene.check(&before)?;
                scene.now += Duration::from_secs(u64::from(passes > 0));
            }
        }
        scene.conditions.values_mut().filter(|condition| **condition != Down).for_each(|condition| *condition = Up);
        scene.plan();
        scene.pass(240);
        scene.plan();
        prop_assert_eq!(scene.running.len(), 0, "every ramp ends");
        for (address, weight) in scene.desired(&scene.vpp).0 {
            prop_assert_eq!(DesiredWeight::Set(Weight::clamped(scene.vpp[&address])), weight, "{}", address);
        }
    }
}

//! The edges that flush by example, and their independence of the order of the inputs as a property test.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    config::{AdminState, Backend, Check, MemberTarget},
    health::{BackendHealth, BackendState},
    name::Name,
    test_objects::{backend, health_check},
    vip::{Service, Weight},
    weights::DesiredWeight,
};

const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn vip() -> VipKey {
    VipKey { address: "203.0.113.1".parse().unwrap(), service: Service::AllPorts }
}

/// Observes the conditions in sequence, with VPP having the server at `weight`.
fn is_pending_after(conditions: &[BackendCondition], weight: Option<u8>, on_down: OnBackendDown) -> bool {
    let mut flushes = Flushes::default();
    for condition in conditions {
        observe(&mut flushes, *condition, weight, on_down);
    }
    !flushes.due(vip().address).is_empty()
}

fn observe(flushes: &mut Flushes, condition: BackendCondition, weight: Option<u8>, on_down: OnBackendDown) {
    let desired =
        DesiredAs { backend: Name::namespaced("default", "b"), condition, weight: DesiredWeight::Set(Weight::ZERO) };
    flushes.observe(vip(), &BTreeMap::from([(SERVER, desired)]), on_down, |_| weight);
}

#[test]
fn flush_becomes_pending_on_the_edges_of_the_table() {
    use BackendCondition::{
        CheckMissing, Disabled, Down, NeverKnown, PathDown, PathSuspect, PathUnknown, Paused, Suspect, Unknown, Up,
    };
    use OnBackendDown::{Flush, Keep};
    for (conditions, weight, on_down, pending) in [
        (&[Up, Down][..], Some(10), Flush, true),
        (&[Up, Down], Some(0), Flush, true),
        (&[Up, Down], Some(10), Keep, false),
        (&[Up, Disabled], Some(10), Keep, true),
        (&[Paused, Disabled], Some(0), Flush, true),
        (&[Up, Paused], Some(10), Flush, false),
        (&[Down], Some(10), Flush, true),
        (&[Down], Some(0), Flush, false),
        (&[NeverKnown, Down], Some(0), Flush, false),
        (&[Disabled], Some(10), Flush, true),
        (&[Up, Unknown, Down], Some(0), Flush, true),
        (&[Up, Unknown, Disabled], Some(0), Flush, true),
        (&[Up, Unknown, Disabled], Some(0), Keep, true),
        (&[Up, CheckMissing, Disabled], Some(0), Keep, true),
        (&[NeverKnown, Unknown, Down], Some(0), Flush, false),
        (&[Up, Suspect], Some(10), Flush, false),
        (&[Up, Suspect, Down], Some(10), Flush, true),
        (&[Up, CheckMissing], Some(10), Flush, false),
        (&[Up, PathDown], Some(10), Flush, true),
        (&[Up, PathDown], Some(10), Keep, false),
        (&[Up, PathSuspect], Some(10), Flush, false),
        (&[Up, PathUnknown, PathDown], Some(0), Flush, true),
        (&[Up, Down], None, Flush, false),
        (&[Up, Down, Up], Some(10), Flush, false),
        (&[Up, Down, Down], Some(10), Flush, true),
    ] {
        assert_eq!(is_pending_after(conditions, weight, on_down), pending, "{conditions:?} {weight:?} {on_down:?}");
    }
}

#[test]
fn flush_is_sent_once_and_dropped_when_vpp_restarts() {
    let mut flushes = Flushes::default();
    observe(&mut flushes, BackendCondition::Up, Some(10), OnBackendDown::Flush);
    observe(&mut flushes, BackendCondition::Down, Some(10), OnBackendDown::Flush);
    let backend = Name::namespaced("default", "b");
    let step = Step::SetWeight { vip: vip(), address: SERVER, backend, from: 10, to: Weight::ZERO, flush: true };
    flushes.record_step(&step);
    assert!(flushes.due(vip().address).is_empty());
    observe(&mut flushes, BackendCondition::Down, Some(0), OnBackendDown::Flush);
    assert!(flushes.due(vip().address).is_empty(), "a repair does not flush again");
    observe(&mut flushes, BackendCondition::Disabled, Some(0), OnBackendDown::Flush);
    assert!(!flushes.due(vip().address).is_empty());
    flushes.clear();
    assert!(flushes.due(vip().address).is_empty());
}

#[test]
fn requested_flush_is_made_once_and_only_of_a_server_that_is_paused_at_weight_0() {
    use BackendCondition::{Disabled, Paused, Up};
    let set = |weight, flush| {
        let (backend, to) = (Name::namespaced("default", "b"), Weight::clamped(weight));
        Step::SetWeight { vip: vip(), address: SERVER, backend, from: 0, to, flush }
    };
    let is_due = |flushes: &Flushes| !flushes.due(vip().address).is_empty();
    let paused = || {
        let mut flushes = Flushes::default();
        observe(&mut flushes, Up, Some(10), OnBackendDown::Flush);
        observe(&mut flushes, Paused, Some(0), OnBackendDown::Flush);
        flushes.request(vip(), SERVER);
        assert!(is_due(&flushes) && !flushes.is_flushed(vip(), SERVER));
        flushes
    };
    let mut flushes = paused();
    observe(&mut flushes, Paused, Some(0), OnBackendDown::Flush);
    assert!(is_due(&flushes), "until VPP has replied");
    flushes.record_step(&set(0, true));
    assert!(!is_due(&flushes) && flushes.is_flushed(vip(), SERVER));
    observe(&mut flushes, Paused, Some(0), OnBackendDown::Flush);
    assert!(!is_due(&flushes) && flushes.is_flushed(vip(), SERVER));
    flushes.record_step(&set(5, false));
    assert!(!flushes.is_flushed(vip(), SERVER), "new flows were admitted");

    for (condition, weight) in [(Up, Some(0)), (Paused, Some(10)), (Paused, None)] {
        let mut flushes = paused();
        observe(&mut flushes, condition, weight, OnBackendDown::Flush);
        observe(&mut flushes, Paused, Some(0), OnBackendDown::Flush);
        assert!(!is_due(&flushes), "{condition:?} {weight:?}");
    }
    let mut flushes = paused();
    flushes.clear();
    assert!(!is_due(&flushes), "VPP was restarted");
    observe(&mut flushes, Disabled, Some(0), OnBackendDown::Flush);
    flushes.record_step(&set(0, true));
    assert!(flushes.is_flushed(vip(), SERVER));
}

/// The inputs of one Backend with a HealthCheck, and VPP with the reply to its last step still to come.
struct Node {
    flushes: Flushes,
    on_down: OnBackendDown,
    admin_state: AdminState,
    health: BackendState,
    weight: u8,
    in_flight: Option<Step>,
    flushed: usize,
}

/// A state of the inputs: all probes agree with the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    admin_state: AdminState,
    probed: BackendState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Config,
    Health,
    Reply,
}

impl Node {
    fn new(on_down: OnBackendDown) -> Self {
        let mut node = Self {
            flushes: Flushes::default(),
            on_down,
            admin_state: AdminState::Enabled,
            health: BackendState::Up,
            weight: 0,
            in_flight: None,
            flushed: 0,
        };
        node.settle();
        node
    }

    fn condition(&self) -> BackendCondition {
        let check = Check::Probe(Arc::new(health_check()));
        let backend = Backend { admin_state: self.admin_state, address: SERVER, check, ..(*backend("b", 1)).clone() };
        let health = BackendHealth {
            address: SERVER,
            state: self.health,
            ever_known: true,
            in_doubt: false,
            history: Arc::default(),
        };
        BackendCondition::new(&MemberTarget::Backend(Arc::new(backend)), Some(&health), |_| false)
    }

    /// Observes the inputs and sends a step, unless the reply to another is still to come.
    fn plan(&mut self) {
        if self.in_flight.is_some() {
            return;
        }
        let condition = self.condition();
        observe(&mut self.flushes, condition, Some(self.weight), self.on_down);
        let to = if condition == BackendCondition::Up { Weight::DEFAULT } else { Weight::ZERO };
        let flush = !self.flushes.due(vip().address).is_empty();
        if self.weight != to.get() || flush {
            let (backend, from) = (Name::namespaced("default", "b"), self.weight);
            self.in_flight = Some(Step::SetWeight { vip: vip(), address: SERVER, backend, from, to, flush });
        }
    }

    fn reply(&mut self) {
        if let Some(step) = self.in_flight.take() {
            let Step::SetWeight { to, flush, .. } = &step else { unreachable!("only weights are set") };
            (self.weight, self.flushed) = (to.get(), self.flushed + usize::from(*flush));
            self.flushes.record_step(&step);
        }
        self.plan();
    }

    fn settle(&mut self) {
        self.plan();
        while self.in_flight.is_some() {
            self.reply();
        }
    }

    /// Moves both inputs to `target` in the given order. Returns the number of flushes.
    fn follow(&mut self, target: Target, order: &[Input]) -> usize {
        let before = self.flushed;
        let suspended = |state| match state {
            AdminState::Enabled => None,
            AdminState::Paused => Some(BackendState::Paused),
            AdminState::Disabled => Some(BackendState::Disabled),
        };
        let mut health = match (suspended(self.admin_state), suspended(target.admin_state)) {
            (_, Some(state)) => vec![state],
            (Some(_), None) => vec![target.probed, BackendState::Unknown],
            (None, None) => vec![target.probed],
        };
        let rest = [Input::Config, Input::Health, Input::Health];
        for input in order.iter().chain(&rest) {
            match input {
                Input::Config => self.admin_state = target.admin_state,
                Input::Health => self.health = health.pop().unwrap_or(self.health),
                Input::Reply => self.reply(),
            }
            self.plan();
        }
        self.settle();
        self.flushed - before
    }
}

fn target() -> impl Strategy<Value = Target> {
    let admin_states = [AdminState::Enabled, AdminState::Paused, AdminState::Disabled];
    let admin_state = prop::sample::select(admin_states.to_vec());
    let probed = prop::sample::select(vec![BackendState::Up, BackendState::Down]);
    (admin_state, probed).prop_map(|(admin_state, probed)| Target { admin_state, probed })
}

fn order() -> impl Strategy<Value = Vec<Input>> {
    let input = prop::sample::select(vec![Input::Config, Input::Health, Input::Reply, Input::Reply]);
    prop::collection::vec(input, 0..9)
}

proptest! {
    #[test]
    fn order_of_config_health_and_replies_does_not_change_what_is_flushed(
        keep in any::<bool>(),
        targets in prop::collection::vec((target(), order()), 1..8),
    ) {
        let on_down = if keep { OnBackendDown::Keep } else { OnBackendDown::Flush };
        let (mut node, mut config_first) = (Node::new(on_down), Node::new(on_down));
        for (target, order) in targets {
            let expected = config_first.follow(target, &[Input::Config, Input::Reply, Input::Reply]);
            prop_assert_eq!(node.follow(target, &order), expected, "{:?} {:?}", target, order);
            prop_assert!(expected <= 1);
        }
    }
}

#[test]
fn disabled_backend_is_flushed_if_its_health_arrives_first() {
    let disabled = Target { admin_state: AdminState::Disabled, probed: BackendState::Up };
    for order in [&[Input::Config, Input::Reply, Input::Health][..], &[Input::Health, Input::Reply, Input::Config]] {
        assert_eq!(Node::new(OnBackendDown::Flush).follow(disabled, order), 1, "{order:?}");
    }
}

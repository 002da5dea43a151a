//! Invariants over sequences of changes, as a property test.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Event {
    Pools(Vec<Vec<(u8, u8)>>),
    State(u8, BackendState),
    Admin(u8, AdminState),
    Advance(u64),
    Accept,
    Restart,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let member = (1u8..=6, prop_oneof![Just(0u8), Just(10), Just(20)]);
    let members = prop::collection::btree_map(1u8..=6, member.prop_map(|(_, weight)| weight), 0..5);
    let pool = members.prop_map(|members| members.into_iter().collect::<Vec<_>>());
    let states = prop_oneof![Just(BackendState::Up), Just(BackendState::Down)];
    let admin = prop_oneof![Just(AdminState::Enabled), Just(AdminState::Paused), Just(AdminState::Disabled)];
    let event = prop_oneof![
        4 => prop::collection::vec(pool, 1..3).prop_map(Event::Pools),
        4 => (1u8..=6, states).prop_map(|(number, state)| Event::State(number, state)),
        2 => (1u8..=6, admin).prop_map(|(number, state)| Event::Admin(number, state)),
        2 => (1u64..90).prop_map(Event::Advance),
        1 => Just(Event::Accept),
        1 => Just(Event::Restart),
    ];
    prop::collection::vec(event, 1..40)
}

proptest! {
    /// A held VIP never loses what serves, follows health, and is never changed beyond the budget by configuration.
    #[test]
    fn held_vip_serves_and_follows_health(events in events(), budget in 1u8..=60) {
        let mut node = Node::new(&[&[(1, 10), (2, 10), (3, 10)], &[(4, 10)]], budget);
        let mut states: HashMap<u8, BackendState> = HashMap::new();
        let mut admin: HashMap<u8, AdminState> = HashMap::new();
        for event in events {
            let before = node.actual.clone();
            match &event {
                Event::Pools(pools) => {
                    let pools: Vec<&[(u8, u8)]> = pools.iter().map(Vec::as_slice).collect();
                    node.set_pools(&pools);
                    // The admin states are those of the Backends, whatever the pools.
                    for (number, state) in admin.clone() {
                        node.set_admin_state(number, state);
                    }
                }
                Event::State(number, state) => {
                    states.insert(*number, *state);
                    node.set_state(*number, *state);
                }
                Event::Admin(number, state) => {
                    admin.insert(*number, *state);
                    node.set_admin_state(*number, *state);
                }
                Event::Advance(seconds) => node.advance(Duration::from_secs(*seconds)),
                Event::Accept => {
                    let ids = node.holds().into_iter().map(|(id, _)| Arc::from(id)).collect();
                    node.guard.accept(&ids);
                    node.plan();
                }
                Event::Restart => node.restart(),
            }
            let weights = node.weights();
            let takes = |number: &u8| {
                states.get(number) != Some(&BackendState::Down)
                    && admin.get(number).is_none_or(|state| *state == AdminState::Enabled)
            };
            for (number, weight) in &weights {
                prop_assert!(*weight == 0 || takes(number), "{event:?}: {number} takes no traffic, but has {weight}");
            }
            let wanted = node.configured();
            let number = |member: &Member| member.backend.name()[1..].parse::<u8>().unwrap();
            let could_serve = wanted.pools.iter().flat_map(|pool| &pool.members)
                .any(|member| member.weight > Weight::ZERO && takes(&number(member)));
            let serves = weights.values().any(|weight| *weight > 0);
            prop_assert!(serves || !could_serve, "{event:?}: nothing serves, but the configuration has a backend for it");
            // A held change moved nothing at all.
            if matches!(event, Event::Pools(_)) && !node.holds().is_empty() && admin.is_empty() {
                let tables = |actual: &Actual| in_vpp(Some(actual), vip(VIP)).and_then(TableSpec::new);
                let moved = TableChange::between(tables(&before).as_ref(), tables(&node.actual).as_ref());
                prop_assert_eq!(moved.moved(), 0, "{:?}", event);
            }
        }
        // No hold lasts for ever.
        node.advance(HOLD);
        node.advance(WINDOW);
        prop_assert_eq!(node.holds(), []);
    }
}

//! What a change of configuration does to states, loops and probes under way.

use std::{net::IpAddr, sync::Arc};

use tokio::{
    task::LocalSet,
    time::{Duration, sleep},
};

use super::world::*;
use crate::HealthOptions;
use maglev_model::{
    config::{AdminState, Check, HealthCheck, NodeConfig, Probe},
    health::{
        BackendState::{Disabled, Down, Paused, Unknown, Up},
        ProbeCode,
    },
    problem::{Problem, Reason},
};

fn missing() -> Check {
    Check::Missing(Problem::new(
        Reason::HealthCheckNotFound,
        "spec.healthCheckRef",
        "there is no HealthCheck shop/http",
    ))
}

#[tokio::test(start_paused = true)]
async fn a_paused_or_disabled_backend_gets_no_probe_and_is_unknown_once_enabled() {
    LocalSet::new()
        .run_until(async {
            for (admin_state, state) in [(AdminState::Paused, Paused), (AdminState::Disabled, Disabled)] {
                let mut world = World::start([backend(1, &check())]);
                world.until_state(1, Up).await;
                world.edit_backend(1, |backend| backend.admin_state = admin_state);
                assert!(world.until_state(1, state).await.ever_known);
                let before = world.starts().len();
                sleep(Duration::from_hours(1)).await;
                assert_eq!(world.starts().len(), before);

                world.answer(1, hangs());
                let enabled = world.now();
                world.edit_backend(1, |backend| backend.admin_state = AdminState::Enabled);
                assert!(world.until_state(1, Unknown).await.ever_known);
                world.until_state(1, Down).await;
                assert!(world.starts_of(1)[before] - enabled <= 5 * MS, "it is probed at once");
                let told = [
                    transition(1, Unknown, Up, Some(ProbeCode::L7Ok)),
                    transition(1, Up, state, None),
                    transition(1, state, Unknown, None),
                    transition(1, Unknown, Down, Some(ProbeCode::L4Timeout)),
                ];
                assert_eq!(world.told(), told);
            }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_under_way_is_dropped_when_its_backend_is_paused_moved_or_removed() {
    LocalSet::new()
        .run_until(async {
            let patient = HealthCheck { timeout: 60 * SEC, ..check() };
            let backends = (1..=4).map(|number| backend(number, &patient));
            let mut world = World::start_with(HealthOptions::new("test", 7), backends, |world| {
                for number in 1..=4 {
                    world.answer(number, Answer { after: 30 * SEC, ..refuses() });
                }
            });
            sleep(3 * SEC).await;
            assert_eq!(world.under_way(), 4);
            world.edit_backend(1, |backend| backend.admin_state = AdminState::Paused);
            world.edit_backend(2, |backend| backend.address = address(22));
            world.edit(|config| drop(config.backends.remove(&name(3))));
            world.answer_at(address(22), hangs());
            world.until(|snapshot| state_in(snapshot, 1) == Some(Paused) && state_in(snapshot, 3).is_none()).await;
            sleep(10 * MS).await;
            assert_eq!(world.under_way(), 2, "that of 4, and one to the new address of 2");
            world.until_state(4, Down).await;
            let told = world.told();
            let of_4 = transition(4, Unknown, Down, Some(ProbeCode::L4Connection));
            assert_eq!(told, [transition(1, Unknown, Paused, None), of_4]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn without_a_health_check_a_backend_is_up_at_once_and_never_probed() {
    LocalSet::new()
        .run_until(async {
            let mut unchecked = backend(1, &check());
            unchecked.check = Check::None;
            let mut world = World::start([unchecked]);
            assert!(world.until_state(1, Up).await.ever_known);
            assert!(world.now() < 20 * MS);
            sleep(Duration::from_hours(1)).await;
            assert_eq!(world.starts(), []);
            assert_eq!(world.told(), [transition(1, Unknown, Up, None)]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_address_is_unknown_and_probed_at_once() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::start([backend(1, &HealthCheck { interval: 60 * SEC, ..check() })]);
            world.until_state(1, Up).await;
            world.answer_at(address(9), hangs());
            let changed = world.now();
            world.edit_backend(1, |backend| backend.address = address(9));
            let health = world.until_state(1, Unknown).await;
            assert_eq!((health.address, health.ever_known), (address(9), false));
            let health = world.until_state(1, Down).await;
            assert_eq!((health.address, health.ever_known), (address(9), true));
            assert!(world.starts_of(9)[0] - changed <= 5 * MS);
            assert_eq!(health.history.len(), 3, "the history is the Backend's");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn editing_any_field_of_a_health_check_keeps_every_state() {
    let edits: [fn(&mut HealthCheck); 6] = [
        |check| check.interval = 10 * SEC,
        |check| check.timeout = 500 * MS,
        |check| check.rise = 5,
        |check| check.fall = 1,
        |check| check.fast_interval = 3 * SEC,
        |check| check.probe = Probe::Tcp { port: 99.try_into().unwrap(), tls: None },
    ];
    LocalSet::new()
        .run_until(async {
            let mut world =
                World::start_with(HealthOptions::new("test", 7), [1, 2].map(|n| backend(n, &check())), |world| {
                    world.answer(2, refuses());
                });
            world.until(|snapshot| state_in(snapshot, 1) == Some(Up) && state_in(snapshot, 2) == Some(Down)).await;
            let told = world.told().len();
            for edit in edits {
                let mut edited = check();
                edit(&mut edited);
                let (before, at) = (world.starts().len(), world.now());
                let edited = Arc::new(edited);
                for number in [1, 2] {
                    world.edit_backend(number, |backend| backend.check = Check::Probe(Arc::clone(&edited)));
                }
                sleep(20 * MS).await;
                let restarted = &world.starts()[before..];
                assert_eq!(restarted.len(), 2, "both loops restart at once");
                assert!(restarted.iter().all(|start| start.at - at <= 5 * MS));
            }
            sleep(100 * SEC).await;
            assert_eq!(world.told().len(), told);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn after_a_changed_health_check_falling_needs_all_its_misses_again() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::start([backend(1, &check())]);
            world.until_state(1, Up).await;
            world.answer(1, refuses());
            let before = world.starts().len();
            while world.starts().len() < before + 2 {
                sleep(100 * MS).await;
            }
            world.edit_backend(1, |backend| backend.check = Check::Probe(Arc::new(HealthCheck { fall: 4, ..check() })));
            let edited = world.starts().len();
            world.until_state(1, Down).await;
            assert_eq!(world.starts().len() - edited, 4);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_new_generation_alone_leaves_the_loop_as_it_is() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::start([backend(1, &check())]);
            world.until_state(1, Up).await;
            for generation in 1..100 {
                sleep(100 * MS).await;
                world.edit_backend(1, |backend| {
                    backend.revision.generation = generation;
                    let mut same = check();
                    same.revision.generation = generation;
                    backend.check = Check::Probe(Arc::new(same));
                });
            }
            let gaps = gaps(&world.starts_of(1));
            assert!((3..=6).contains(&gaps.len()) && gaps.iter().all(|gap| is_about(*gap, 2 * SEC)), "{gaps:?}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_state_outlives_its_missing_health_check() {
    LocalSet::new()
        .run_until(async {
            let mut world =
                World::start_with(HealthOptions::new("test", 7), [1, 2].map(|n| backend(n, &check())), |world| {
                    world.answer(2, refuses());
                });
            world.until(|snapshot| state_in(snapshot, 1) == Some(Up) && state_in(snapshot, 2) == Some(Down)).await;
            for number in [1, 2] {
                world.edit_backend(number, |backend| backend.check = missing());
            }
            let snapshot =
                world.until(|snapshot| snapshot.backends.values().all(|backend| backend.state == Unknown)).await;
            assert!(snapshot.backends.values().all(|backend| !backend.ever_known), "so the weight is kept");
            let before = world.starts().len();
            sleep(Duration::from_hours(1)).await;
            assert_eq!(world.starts().len(), before);

            for number in [1, 2] {
                world.answer(number, hangs());
                world.edit_backend(number, |backend| backend.check = Check::Probe(Arc::new(check())));
            }
            let back = world.until(|snapshot| state_in(snapshot, 1) == Some(Up)).await;
            assert_eq!(state_in(&back, 2), Some(Down));
            assert!(back.backends.values().all(|backend| backend.ever_known));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_state_carries_over_between_a_health_check_and_none() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::start([backend(1, &check())]);
            world.until_state(1, Up).await;
            world.edit_backend(1, |backend| backend.check = Check::None);
            sleep(SEC).await;
            world.edit_backend(1, |backend| backend.check = Check::Probe(Arc::new(check())));
            sleep(10 * SEC).await;
            assert_eq!(world.told(), [transition(1, Unknown, Up, Some(ProbeCode::L7Ok))]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_later_backend_is_probed_at_once_whatever_its_interval() {
    LocalSet::new()
        .run_until(async {
            let slow = HealthCheck { interval: Duration::from_hours(1), ..check() };
            let mut world = World::start([backend(1, &slow)]);
            world.until_state(1, Up).await;
            world.edit(|config| drop(config.backends.insert(name(2), Arc::new(backend(2, &slow)))));
            let added = world.now();
            world.until_state(2, Up).await;
            assert!(world.starts_of(2)[0] - added <= 5 * MS);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_last_transitions_are_kept_and_no_more() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::start([backend(1, &check())]);
            for _ in 0..4 {
                world.answer(1, succeeds());
                world.until_state(1, Up).await;
                world.answer(1, refuses());
                world.until_state(1, Down).await;
            }
            let history = world.until_state(1, Down).await.history;
            assert_eq!(history.iter().map(|seen| seen.to).collect::<Vec<_>>(), [Down, Up, Down, Up, Down]);
            assert_eq!(history[4].code, Some(ProbeCode::L4Connection));
            world.edit(|config| {
                let mut node = NodeConfig::default();
                node.probe.transition_history = 2;
                config.node = Arc::new(node);
            });
            let shorter = world.until(|snapshot| snapshot.backends[&name(1)].history.len() == 2).await;
            assert_eq!(shorter.backends[&name(1)].history[..], history[3..]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn probes_leave_from_the_configured_source_address() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::start([backend(1, &check())]);
            world.until_state(1, Up).await;
            world.edit(|config| {
                let mut node = NodeConfig::default();
                node.probe.ipv4_source = Some("198.51.100.7".parse().unwrap());
                config.node = Arc::new(node);
            });
            sleep(5 * SEC).await;
            let sources: Vec<Option<IpAddr>> = world.starts().iter().map(|start| start.source).collect();
            assert_eq!(sources[0], None);
            assert_eq!(sources.last(), Some(&Some("198.51.100.7".parse().unwrap())));
            assert_eq!(world.told().len(), 1, "the state stays");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_book_has_the_last_probe_until_the_probing_changes() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::start([backend(1, &check())]);
            let book = world.options.book.clone();
            world.until_state(1, Up).await;
            let first = book.get(&name(1)).expect("it was probed");
            assert_eq!((first.counter, first.probes), (Some(top()), 1));
            assert!(first.last.is_some_and(|last| last.code.is_success()));
            world.answer(1, refuses());
            world.until_state(1, Down).await;
            let last = book.get(&name(1)).expect("it was probed");
            assert_eq!((last.counter, last.probes), (Some(0), 1 + u64::from(check().fall)));
            assert_eq!(last.last.map(|last| last.code), Some(ProbeCode::L4Connection));
            world.edit_backend(1, |backend| backend.admin_state = AdminState::Paused);
            world.until_state(1, Paused).await;
            assert_eq!(book.get(&name(1)), None);
        })
        .await;
}

fn top() -> u16 {
    u16::from(check().rise) + u16::from(check().fall) - 1
}

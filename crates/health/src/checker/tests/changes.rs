//! Effects of a changed configuration on states, loops and probes in flight.

use std::{net::IpAddr, sync::Arc};

use tokio::{
    task::LocalSet,
    time::{Duration, sleep},
};

use super::fixture::*;
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
                let mut fixture = CheckerFixture::start([backend(1, &check())]);
                fixture.until_state(1, Up).await;
                fixture.edit_backend(1, |backend| backend.admin_state = admin_state);
                assert!(fixture.until_state(1, state).await.ever_known);
                let before = fixture.starts().len();
                sleep(Duration::from_hours(1)).await;
                assert_eq!(fixture.starts().len(), before);

                fixture.answer(1, hangs());
                let enabled = fixture.now();
                fixture.edit_backend(1, |backend| backend.admin_state = AdminState::Enabled);
                assert!(fixture.until_state(1, Unknown).await.ever_known);
                fixture.until_state(1, Down).await;
                assert!(fixture.starts_of(1)[before] - enabled <= 5 * MS, "the backend is probed at once");
                let expected = [
                    transition(1, Unknown, Up, Some(ProbeCode::L7Ok)),
                    transition(1, Up, state, None),
                    transition(1, state, Unknown, None),
                    transition(1, Unknown, Down, Some(ProbeCode::L4Timeout)),
                ];
                assert_eq!(fixture.events(), expected);
            }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_in_flight_is_aborted_when_its_backend_is_paused_moved_or_removed() {
    LocalSet::new()
        .run_until(async {
            let patient = HealthCheck { timeout: 60 * SEC, ..check() };
            let backends = (1..=4).map(|number| backend(number, &patient));
            let mut fixture = CheckerFixture::start_with(HealthOptions::new("test", 7), backends, |fixture| {
                for number in 1..=4 {
                    fixture.answer(number, ScriptedOutcome { after: 30 * SEC, ..refuses() });
                }
            });
            sleep(3 * SEC).await;
            assert_eq!(fixture.in_flight(), 4);
            fixture.edit_backend(1, |backend| backend.admin_state = AdminState::Paused);
            fixture.edit_backend(2, |backend| backend.address = address(22));
            fixture.edit(|config| drop(config.backends.remove(&name(3))));
            fixture.answer_at(address(22), hangs());
            fixture.until(|snapshot| state_in(snapshot, 1) == Some(Paused) && state_in(snapshot, 3).is_none()).await;
            sleep(10 * MS).await;
            assert_eq!(fixture.in_flight(), 2, "the probe of 4, and one to the new address of 2");
            fixture.until_state(4, Down).await;
            let paused = transition(1, Unknown, Paused, None);
            let down = transition(4, Unknown, Down, Some(ProbeCode::L4Connection));
            assert_eq!(fixture.events(), [paused, down]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn without_a_health_check_a_backend_is_up_at_once_and_never_probed() {
    LocalSet::new()
        .run_until(async {
            let mut unchecked = backend(1, &check());
            unchecked.check = Check::None;
            let mut fixture = CheckerFixture::start([unchecked]);
            assert!(fixture.until_state(1, Up).await.ever_known);
            assert!(fixture.now() < 20 * MS);
            sleep(Duration::from_hours(1)).await;
            assert_eq!(fixture.starts(), []);
            assert_eq!(fixture.events(), [transition(1, Unknown, Up, None)]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_address_is_unknown_and_probed_at_once() {
    LocalSet::new()
        .run_until(async {
            let mut fixture = CheckerFixture::start([backend(1, &HealthCheck { interval: 60 * SEC, ..check() })]);
            fixture.until_state(1, Up).await;
            fixture.answer_at(address(9), hangs());
            let changed = fixture.now();
            fixture.edit_backend(1, |backend| backend.address = address(9));
            let health = fixture.until_state(1, Unknown).await;
            assert_eq!((health.address, health.ever_known), (address(9), false));
            let health = fixture.until_state(1, Down).await;
            assert_eq!((health.address, health.ever_known), (address(9), true));
            assert!(fixture.starts_of(9)[0] - changed <= 5 * MS);
            assert_eq!(health.history.len(), 3, "the history belongs to the Backend, not to the address");
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
            let mut fixture = CheckerFixture::start_with(
                HealthOptions::new("test", 7),
                [1, 2].map(|n| backend(n, &check())),
                |fixture| {
                    fixture.answer(2, refuses());
                },
            );
            fixture.until(|snapshot| state_in(snapshot, 1) == Some(Up) && state_in(snapshot, 2) == Some(Down)).await;
            let events = fixture.events().len();
            for edit in edits {
                let mut edited = check();
                edit(&mut edited);
                let (before, at) = (fixture.starts().len(), fixture.now());
                let edited = Arc::new(edited);
                for number in [1, 2] {
                    fixture.edit_backend(number, |backend| backend.check = Check::Probe(Arc::clone(&edited)));
                }
                sleep(20 * MS).await;
                let restarted = &fixture.starts()[before..];
                assert_eq!(restarted.len(), 2, "both loops restart at once");
                assert!(restarted.iter().all(|start| start.at - at <= 5 * MS));
            }
            sleep(100 * SEC).await;
            assert_eq!(fixture.events().len(), events);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_health_check_restarts_the_count_of_failures() {
    LocalSet::new()
        .run_until(async {
            let mut fixture = CheckerFixture::start([backend(1, &check())]);
            fixture.until_state(1, Up).await;
            fixture.answer(1, refuses());
            let before = fixture.starts().len();
            while fixture.starts().len() < before + 2 {
                sleep(100 * MS).await;
            }
            fixture
                .edit_backend(1, |backend| backend.check = Check::Probe(Arc::new(HealthCheck { fall: 4, ..check() })));
            let edited = fixture.starts().len();
            fixture.until_state(1, Down).await;
            assert_eq!(fixture.starts().len() - edited, 4);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_new_generation_alone_does_not_restart_the_loop() {
    LocalSet::new()
        .run_until(async {
            let mut fixture = CheckerFixture::start([backend(1, &check())]);
            fixture.until_state(1, Up).await;
            for generation in 1..100 {
                sleep(100 * MS).await;
                fixture.edit_backend(1, |backend| {
                    backend.revision.generation = generation;
                    let mut same = check();
                    same.revision.generation = generation;
                    backend.check = Check::Probe(Arc::new(same));
                });
            }
            let gaps = gaps(&fixture.starts_of(1));
            assert!((3..=6).contains(&gaps.len()) && gaps.iter().all(|gap| is_about(*gap, 2 * SEC)), "{gaps:?}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_state_returns_with_a_health_check_that_was_missing() {
    LocalSet::new()
        .run_until(async {
            let mut fixture = CheckerFixture::start_with(
                HealthOptions::new("test", 7),
                [1, 2].map(|n| backend(n, &check())),
                |fixture| {
                    fixture.answer(2, refuses());
                },
            );
            fixture.until(|snapshot| state_in(snapshot, 1) == Some(Up) && state_in(snapshot, 2) == Some(Down)).await;
            for number in [1, 2] {
                fixture.edit_backend(number, |backend| backend.check = missing());
            }
            let snapshot =
                fixture.until(|snapshot| snapshot.backends.values().all(|backend| backend.state == Unknown)).await;
            assert!(
                snapshot.backends.values().all(|backend| !backend.ever_known),
                "never known, so that the weight is kept"
            );
            let before = fixture.starts().len();
            sleep(Duration::from_hours(1)).await;
            assert_eq!(fixture.starts().len(), before);

            for number in [1, 2] {
                fixture.answer(number, hangs());
                fixture.edit_backend(number, |backend| backend.check = Check::Probe(Arc::new(check())));
            }
            let restored = fixture.until(|snapshot| state_in(snapshot, 1) == Some(Up)).await;
            assert_eq!(state_in(&restored, 2), Some(Down));
            assert!(restored.backends.values().all(|backend| backend.ever_known));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_state_is_kept_when_the_health_check_reference_is_removed_and_restored() {
    LocalSet::new()
        .run_until(async {
            let mut fixture = CheckerFixture::start([backend(1, &check())]);
            fixture.until_state(1, Up).await;
            fixture.edit_backend(1, |backend| backend.check = Check::None);
            sleep(SEC).await;
            fixture.edit_backend(1, |backend| backend.check = Check::Probe(Arc::new(check())));
            sleep(10 * SEC).await;
            assert_eq!(fixture.events(), [transition(1, Unknown, Up, Some(ProbeCode::L7Ok))]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_added_later_is_probed_at_once_at_any_interval() {
    LocalSet::new()
        .run_until(async {
            let slow = HealthCheck { interval: Duration::from_hours(1), ..check() };
            let mut fixture = CheckerFixture::start([backend(1, &slow)]);
            fixture.until_state(1, Up).await;
            fixture.edit(|config| drop(config.backends.insert(name(2), Arc::new(backend(2, &slow)))));
            let added = fixture.now();
            fixture.until_state(2, Up).await;
            assert!(fixture.starts_of(2)[0] - added <= 5 * MS);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_history_is_limited_to_the_configured_number_of_transitions() {
    LocalSet::new()
        .run_until(async {
            let mut fixture = CheckerFixture::start([backend(1, &check())]);
            for _ in 0..4 {
                fixture.answer(1, succeeds());
                fixture.until_state(1, Up).await;
                fixture.answer(1, refuses());
                fixture.until_state(1, Down).await;
            }
            let history = fixture.until_state(1, Down).await.history;
            assert_eq!(history.iter().map(|transition| transition.to).collect::<Vec<_>>(), [Down, Up, Down, Up, Down]);
            assert_eq!(history[4].code, Some(ProbeCode::L4Connection));
            fixture.edit(|config| {
                let mut node = NodeConfig::default();
                node.probe.transition_history = 2;
                config.node = Arc::new(node);
            });
            let shortened = fixture.until(|snapshot| snapshot.backends[&name(1)].history.len() == 2).await;
            assert_eq!(shortened.backends[&name(1)].history[..], history[3..]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn probes_leave_from_the_configured_source_address() {
    LocalSet::new()
        .run_until(async {
            let mut fixture = CheckerFixture::start([backend(1, &check())]);
            fixture.until_state(1, Up).await;
            fixture.edit(|config| {
                let mut node = NodeConfig::default();
                node.probe.ipv4_source = Some("198.51.100.7".parse().unwrap());
                config.node = Arc::new(node);
            });
            sleep(5 * SEC).await;
            let sources: Vec<Option<IpAddr>> = fixture.starts().iter().map(|start| start.source).collect();
            assert_eq!(sources[0], None);
            assert_eq!(sources.last(), Some(&Some("198.51.100.7".parse().unwrap())));
            assert_eq!(fixture.events().len(), 1, "the state is kept");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_last_probe_is_recorded_until_the_probing_changes() {
    LocalSet::new()
        .run_until(async {
            let mut fixture = CheckerFixture::start([backend(1, &check())]);
            let last_probes = fixture.options.last_probes.clone();
            fixture.until_state(1, Up).await;
            let first = last_probes.get(&name(1)).expect("the backend was probed");
            assert_eq!((first.counter, first.probes), (Some(top()), 1));
            assert!(first.last.is_some_and(|last| last.code.is_success()));
            fixture.answer(1, refuses());
            fixture.until_state(1, Down).await;
            let last = last_probes.get(&name(1)).expect("the backend was probed");
            assert_eq!((last.counter, last.probes), (Some(0), 1 + u64::from(check().fall)));
            assert_eq!(last.last.map(|last| last.code), Some(ProbeCode::L4Connection));
            fixture.edit_backend(1, |backend| backend.admin_state = AdminState::Paused);
            fixture.until_state(1, Paused).await;
            assert_eq!(last_probes.get(&name(1)), None);
        })
        .await;
}

fn top() -> u16 {
    u16::from(check().rise) + u16::from(check().fall) - 1
}

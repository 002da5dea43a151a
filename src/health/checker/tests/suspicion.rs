//! When everything of a family fails at once.

use std::{net::IpAddr, sync::Arc};

use tokio::{
    task::LocalSet,
    time::{Duration, sleep},
};

use super::world::*;
use crate::model::{
    config::{AdminState, Backend, HealthCheck, NodeConfig},
    event::Event,
    health::{BackendState, HealthSnapshot},
    vip::Family,
};

fn count(snapshot: &HealthSnapshot, state: BackendState) -> usize {
    snapshot.backends.values().filter(|backend| backend.state == state).count()
}

fn suspect(family: Family, active: bool) -> Event {
    Event::ProbePathSuspect { family, active }
}

fn told_of_paths(world: &World) -> Vec<Event> {
    world.told().into_iter().filter(|event| matches!(event, Event::ProbePathSuspect { .. })).collect()
}

async fn ten_up(check: &HealthCheck) -> World {
    let mut world = World::start((0..10).map(|number| backend(number, check)));
    world.until(|snapshot| count(snapshot, BackendState::Up) == 10).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_path_that_fails_is_suspect_before_the_first_backend_is_seen_down_until_a_success() {
    LocalSet::new()
        .run_until(async {
            let mut world = ten_up(&check()).await;
            for number in 0..10 {
                world.answer(number, hangs());
            }
            let seen = world.until(|snapshot| count(snapshot, BackendState::Down) > 0).await;
            assert!(seen.suspect_v4 && !seen.suspect_v6);
            world.until(|snapshot| count(snapshot, BackendState::Down) == 10).await;
            let told = world.told();
            let begin = told.iter().position(|event| *event == suspect(Family::V4, true)).unwrap();
            assert!(
                told[..begin]
                    .iter()
                    .all(|event| !matches!(event, Event::BackendTransition { to: BackendState::Down, .. }))
            );
            world.answer(3, succeeds());
            world.until(|snapshot| !snapshot.suspect_v4).await;
            sleep(60 * SEC).await;
            assert_eq!(told_of_paths(&world), [suspect(Family::V4, true), suspect(Family::V4, false)]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn who_fell_with_the_path_stays_in_doubt_until_a_probe_of_its_own_tells() {
    LocalSet::new()
        .run_until(async {
            let mut world = ten_up(&check()).await;
            for number in 0..10 {
                world.answer(number, hangs());
            }
            world.until(|snapshot| count(snapshot, BackendState::Down) == 10).await;
            let doubted = |snapshot: &HealthSnapshot| -> Vec<bool> {
                snapshot.backends.values().map(|backend| backend.in_doubt).collect()
            };
            assert_eq!(doubted(&world.snapshot_rx.borrow()), [true; 10]);
            // The path works again for all but one, which is down in truth.
            for number in 0..9 {
                world.answer(number, succeeds());
            }
            world
                .until(|snapshot| {
                    let believed: Vec<_> = snapshot.backends.values().filter(|backend| !backend.in_doubt).collect();
                    for backend in believed.iter().filter(|backend| backend.state == BackendState::Down) {
                        assert_eq!(backend.address, address(9), "the others are up before they are believed down");
                    }
                    believed.len() == 10
                })
                .await;
            assert_eq!(count(&world.snapshot_rx.borrow(), BackendState::Up), 9);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_others_of_the_family_are_probed_within_a_second() {
    LocalSet::new()
        .run_until(async {
            // Two fall within seconds; the others would not be probed for an hour.
            let hourly = HealthCheck { interval: Duration::from_hours(1), ..check() };
            let v6 = |number: u8| -> Backend {
                let address = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(number)]);
                Backend { address, ..backend(number, &hourly) }
            };
            let backends = (0..10).map(|number| backend(number, if number < 2 { &QUICK } else { &hourly }));
            let mut world = World::start(backends.chain((100..110).map(v6)));
            world.until(|snapshot| count(snapshot, BackendState::Up) == 20).await;
            let before = world.starts().len();
            for number in 0..2 {
                world.answer(number, hangs());
            }
            world.until(|snapshot| snapshot.suspect_v4).await;
            let begun = world.now();
            world.until(|snapshot| !snapshot.suspect_v4).await;
            sleep(2 * SEC).await;
            let starts = world.starts();
            for number in 2..10 {
                let again = starts[before..].iter().find(|start| start.address == address(number));
                let delay = again.expect("it is probed").at.saturating_sub(begun);
                assert!(delay <= SEC + 5 * MS, "{delay:?}");
            }
            assert!(starts[before..].iter().all(|start| start.address.is_ipv4()), "the other family is left alone");
            assert_eq!(count(&world.snapshot_rx.borrow(), BackendState::Up), 18);
        })
        .await;
}

static QUICK: std::sync::LazyLock<HealthCheck> = std::sync::LazyLock::new(check);

#[tokio::test(start_paused = true)]
async fn one_backend_that_falls_while_others_answer_makes_nothing_suspect() {
    LocalSet::new()
        .run_until(async {
            let mut world = ten_up(&check()).await;
            world.answer(3, hangs());
            world.answer(4, refuses());
            world.until(|snapshot| count(snapshot, BackendState::Down) == 2).await;
            assert_eq!(told_of_paths(&world), []);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_path_that_fails_when_the_agent_starts_is_suspect_too() {
    LocalSet::new()
        .run_until(async {
            let backends = (0..10).map(|number| backend(number, &check()));
            let options = crate::health::HealthOptions::new("test", 7);
            let mut world = World::start_with(options, backends, |world| {
                for number in 0..10 {
                    world.answer(number, hangs());
                }
            });
            let seen = world.until(|snapshot| count(snapshot, BackendState::Down) == 10).await;
            assert!(seen.suspect_v4);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn fail_open_turned_off_ends_a_suspicion_and_begins_none() {
    LocalSet::new()
        .run_until(async {
            let mut world = ten_up(&check()).await;
            for number in 0..10 {
                world.answer(number, hangs());
            }
            world.until(|snapshot| snapshot.suspect_v4).await;
            world.edit(|config| {
                let mut node = NodeConfig::default();
                node.probe.fail_open = false;
                config.node = Arc::new(node);
            });
            world.until(|snapshot| !snapshot.suspect_v4).await;
            world.until(|snapshot| count(snapshot, BackendState::Down) == 10).await;
            assert_eq!(told_of_paths(&world), [suspect(Family::V4, true), suspect(Family::V4, false)]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_suspicion_ends_with_the_last_backend_that_could_end_it() {
    LocalSet::new()
        .run_until(async {
            let mut world = ten_up(&check()).await;
            for number in 0..10 {
                world.answer(number, hangs());
            }
            world.until(|snapshot| count(snapshot, BackendState::Down) == 10).await;
            for number in 0..10 {
                assert!(world.snapshot_rx.borrow().suspect_v4);
                world.edit_backend(number, |backend| backend.admin_state = AdminState::Paused);
                world.until_state(number, BackendState::Paused).await;
            }
            world.until(|snapshot| !snapshot.suspect_v4).await;
        })
        .await;
}

//! When everything of a family fails at once.

use std::{net::IpAddr, sync::Arc};

use tokio::{
    task::LocalSet,
    time::{Duration, sleep},
};

use super::world::*;
use maglev_model::{
    config::{AdminState, Backend, HealthCheck, NodeConfig},
    event::Event,
    health::{BackendHealth, BackendState, HealthSnapshot},
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

/// Probed every 100 ms; falls after two misses of 100 ms each.
fn hasty() -> HealthCheck {
    let brief = 100 * MS;
    HealthCheck { interval: brief, fast_interval: brief, down_interval: brief, timeout: brief, fall: 2, ..check() }
}

/// One backend that is probed hastily, and three that are probed once an hour, all up.
async fn one_hasty_among_slow() -> World {
    let hourly = HealthCheck { interval: Duration::from_hours(1), timeout: 10 * SEC, ..check() };
    let fast = hasty();
    let mut world = World::start((0..4).map(|number| backend(number, if number == 0 { &fast } else { &hourly })));
    world.until(|snapshot| count(snapshot, BackendState::Up) == 4).await;
    sleep(10 * SEC).await;
    world
}

/// Whether a backend's weight follows its being down.
fn believed_down(snapshot: &HealthSnapshot) -> usize {
    let down = |health: &&BackendHealth| health.state == BackendState::Down && !health.in_doubt;
    if snapshot.suspect_v4 { 0 } else { snapshot.backends.values().filter(down).count() }
}

#[tokio::test(start_paused = true)]
async fn one_that_falls_long_before_others_are_probed_has_them_asked() {
    LocalSet::new()
        .run_until(async {
            let mut world = one_hasty_among_slow().await;
            for number in 0..4 {
                world.answer(number, hangs());
            }
            // At no moment is it believed, though the others take 10 s each to time out, three times.
            let mut seen = world.snapshot_rx.clone();
            loop {
                assert_eq!(believed_down(&seen.borrow_and_update()), 0);
                if count(&seen.borrow(), BackendState::Down) == 4 {
                    break;
                }
                seen.changed().await.unwrap();
            }
            assert_eq!(told_of_paths(&world), [suspect(Family::V4, true)]);
            for number in 0..4 {
                world.answer(number, succeeds());
            }
            world.until(|snapshot| count(snapshot, BackendState::Up) == 4).await;
            assert_eq!(told_of_paths(&world), [suspect(Family::V4, true), suspect(Family::V4, false)]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_falls_alone_is_believed_as_soon_as_another_has_answered() {
    LocalSet::new()
        .run_until(async {
            let mut world = one_hasty_among_slow().await;
            let (failed, asked) = (world.now(), world.starts().len());
            world.answer(0, hangs());
            world.until(|snapshot| believed_down(snapshot) == 1).await;
            assert!(world.now() - failed < SEC, "{:?}", world.now() - failed);
            assert_eq!(told_of_paths(&world), []);
            let slow = world.starts()[asked..].iter().filter(|start| start.address != address(0)).count();
            assert_eq!(slow, 3, "the others were asked once");
            sleep(60 * SEC).await;
            let slow = world.starts()[asked..].iter().filter(|start| start.address != address(0)).count();
            assert_eq!(slow, 3, "and not again while it stays down");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn one_with_nobody_beside_it_falls_at_once_and_so_does_one_whose_witnesses_go() {
    LocalSet::new()
        .run_until(async {
            let mut alone = World::start([backend(0, &hasty())]);
            alone.until_state(0, BackendState::Up).await;
            alone.answer(0, hangs());
            alone.until_state(0, BackendState::Down).await;
            assert_eq!(believed_down(&alone.snapshot_rx.borrow()), 1);

            let mut world = one_hasty_among_slow().await;
            for number in 0..4 {
                world.answer(number, hangs());
            }
            world.until_state(0, BackendState::Down).await;
            assert_eq!(believed_down(&world.snapshot_rx.borrow()), 0);
            world.edit(|config| {
                for number in 1..4 {
                    config.backends.remove(&name(number));
                }
            });
            world.until(|snapshot| believed_down(snapshot) == 1).await;
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_path_that_fails_when_the_agent_starts_is_suspect_too() {
    LocalSet::new()
        .run_until(async {
            let backends = (0..10).map(|number| backend(number, &check()));
            let options = crate::HealthOptions::new("test", 7);
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

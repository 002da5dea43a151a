//! Failures of the probe path of a whole family.

use std::{net::IpAddr, sync::Arc};

use tokio::{
    task::LocalSet,
    time::{Duration, sleep},
};

use super::fixture::*;
use maglev_model::{
    config::{AdminState, Backend, HealthCheck, NodeConfig},
    event::Event,
    health::{BackendHealth, BackendState, HealthSnapshot},
    vip::Family,
};

fn count(snapshot: &HealthSnapshot, state: BackendState) -> usize {
    snapshot.backends.values().filter(|backend| backend.state == state).count()
}

fn suspect(family: Family, active: bool) -> EmittedEvent {
    EmittedEvent::Other(Event::ProbePathSuspect { family, active })
}

fn path_events(fixture: &CheckerFixture) -> Vec<EmittedEvent> {
    fixture
        .events()
        .into_iter()
        .filter(|event| matches!(event, EmittedEvent::Other(Event::ProbePathSuspect { .. })))
        .collect()
}

async fn ten_up(check: &HealthCheck) -> CheckerFixture {
    let mut fixture = CheckerFixture::start((0..10).map(|number| backend(number, check)));
    fixture.until(|snapshot| count(snapshot, BackendState::Up) == 10).await;
    fixture
}

#[tokio::test(start_paused = true)]
async fn a_failed_path_is_suspect_from_before_the_first_transition_until_a_success() {
    LocalSet::new()
        .run_until(async {
            let mut fixture = ten_up(&check()).await;
            for number in 0..10 {
                fixture.answer(number, hangs());
            }
            let snapshot = fixture.until(|snapshot| count(snapshot, BackendState::Down) > 0).await;
            assert!(snapshot.suspect_v4 && !snapshot.suspect_v6);
            fixture.until(|snapshot| count(snapshot, BackendState::Down) == 10).await;
            let events = fixture.events();
            let begin = events.iter().position(|event| *event == suspect(Family::V4, true)).unwrap();
            assert!(
                events[..begin]
                    .iter()
                    .all(|event| !matches!(event, EmittedEvent::Transition { to: BackendState::Down, .. }))
            );
            fixture.answer(3, succeeds());
            fixture.until(|snapshot| !snapshot.suspect_v4).await;
            sleep(60 * SEC).await;
            assert_eq!(path_events(&fixture), [suspect(Family::V4, true), suspect(Family::V4, false)]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_fell_with_the_path_is_in_doubt_until_its_next_probe() {
    LocalSet::new()
        .run_until(async {
            let mut fixture = ten_up(&check()).await;
            for number in 0..10 {
                fixture.answer(number, hangs());
            }
            fixture.until(|snapshot| count(snapshot, BackendState::Down) == 10).await;
            let in_doubt = |snapshot: &HealthSnapshot| -> Vec<bool> {
                snapshot.backends.values().map(|backend| backend.in_doubt).collect()
            };
            assert_eq!(in_doubt(&fixture.snapshot_rx.borrow()), [true; 10]);
            // The path works again; one backend is really down.
            for number in 0..9 {
                fixture.answer(number, succeeds());
            }
            fixture
                .until(|snapshot| {
                    let certain: Vec<_> = snapshot.backends.values().filter(|backend| !backend.in_doubt).collect();
                    for backend in certain.iter().filter(|backend| backend.state == BackendState::Down) {
                        assert_eq!(
                            backend.address,
                            address(9),
                            "all other backends come up before they leave the doubt"
                        );
                    }
                    certain.len() == 10
                })
                .await;
            assert_eq!(count(&fixture.snapshot_rx.borrow(), BackendState::Up), 9);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_suspicion_probes_the_whole_family_within_a_second() {
    LocalSet::new()
        .run_until(async {
            // Two backends fall within seconds; all others are probed once an hour.
            let (quick, hourly) = (check(), HealthCheck { interval: Duration::from_hours(1), ..check() });
            let v6 = |number: u8| -> Backend {
                let address = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(number)]);
                Backend { address, ..backend(number, &hourly) }
            };
            let backends = (0..10).map(|number| backend(number, if number < 2 { &quick } else { &hourly }));
            let mut fixture = CheckerFixture::start(backends.chain((100..110).map(v6)));
            fixture.until(|snapshot| count(snapshot, BackendState::Up) == 20).await;
            let before = fixture.starts().len();
            for number in 0..2 {
                fixture.answer(number, hangs());
            }
            fixture.until(|snapshot| snapshot.suspect_v4).await;
            let suspected = fixture.now();
            fixture.until(|snapshot| !snapshot.suspect_v4).await;
            sleep(2 * SEC).await;
            let starts = fixture.starts();
            for number in 2..10 {
                let again = starts[before..].iter().find(|start| start.address == address(number));
                let delay = again.expect("the backend is probed").at.saturating_sub(suspected);
                assert!(delay <= SEC + 5 * MS, "{delay:?}");
            }
            assert!(starts[before..].iter().all(|start| start.address.is_ipv4()), "the other family is not affected");
            assert_eq!(count(&fixture.snapshot_rx.borrow(), BackendState::Up), 18);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_path_with_successes_is_not_suspect() {
    LocalSet::new()
        .run_until(async {
            let mut fixture = ten_up(&check()).await;
            fixture.answer(3, hangs());
            fixture.answer(4, refuses());
            fixture.until(|snapshot| count(snapshot, BackendState::Down) == 2).await;
            assert_eq!(path_events(&fixture), []);
        })
        .await;
}

/// Probes every 100 ms; a backend falls after two timeouts of 100 ms each.
fn frequent() -> HealthCheck {
    let brief = 100 * MS;
    HealthCheck { interval: brief, fast_interval: brief, down_interval: brief, timeout: brief, fall: 2, ..check() }
}

/// One backend that is probed frequently and three that are probed once an hour, all up.
async fn one_frequent_among_hourly() -> CheckerFixture {
    let hourly = HealthCheck { interval: Duration::from_hours(1), timeout: 10 * SEC, ..check() };
    let fast = frequent();
    let mut fixture =
        CheckerFixture::start((0..4).map(|number| backend(number, if number == 0 { &fast } else { &hourly })));
    fixture.until(|snapshot| count(snapshot, BackendState::Up) == 4).await;
    sleep(10 * SEC).await;
    fixture
}

/// The number of backends whose state down takes effect on their weight.
fn effectively_down(snapshot: &HealthSnapshot) -> usize {
    let down = |health: &&BackendHealth| health.state == BackendState::Down && !health.in_doubt;
    if snapshot.suspect_v4 { 0 } else { snapshot.backends.values().filter(down).count() }
}

#[tokio::test(start_paused = true)]
async fn confirmation_probes_decide_before_a_frequently_probed_backend_goes_down() {
    LocalSet::new()
        .run_until(async {
            let mut fixture = one_frequent_among_hourly().await;
            for number in 0..4 {
                fixture.answer(number, hangs());
            }
            // The state down never takes effect, although the other backends need three timeouts of 10 s each.
            let mut snapshot_rx = fixture.snapshot_rx.clone();
            loop {
                assert_eq!(effectively_down(&snapshot_rx.borrow_and_update()), 0);
                if count(&snapshot_rx.borrow(), BackendState::Down) == 4 {
                    break;
                }
                snapshot_rx.changed().await.unwrap();
            }
            assert_eq!(path_events(&fixture), [suspect(Family::V4, true)]);
            for number in 0..4 {
                fixture.answer(number, succeeds());
            }
            fixture.until(|snapshot| count(snapshot, BackendState::Up) == 4).await;
            assert_eq!(path_events(&fixture), [suspect(Family::V4, true), suspect(Family::V4, false)]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_falls_alone_goes_down_after_one_confirmation() {
    LocalSet::new()
        .run_until(async {
            let mut fixture = one_frequent_among_hourly().await;
            let (failed, before) = (fixture.now(), fixture.starts().len());
            fixture.answer(0, hangs());
            fixture.until(|snapshot| effectively_down(snapshot) == 1).await;
            assert!(fixture.now() - failed < SEC, "{:?}", fixture.now() - failed);
            assert_eq!(path_events(&fixture), []);
            let slow = fixture.starts()[before..].iter().filter(|start| start.address != address(0)).count();
            assert_eq!(slow, 3, "the other backends are probed once");
            sleep(60 * SEC).await;
            let slow = fixture.starts()[before..].iter().filter(|start| start.address != address(0)).count();
            assert_eq!(slow, 3, "and not again while the backend stays down");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_without_peers_goes_down_at_once_also_if_its_peers_are_removed() {
    LocalSet::new()
        .run_until(async {
            let mut alone = CheckerFixture::start([backend(0, &frequent())]);
            alone.until_state(0, BackendState::Up).await;
            alone.answer(0, hangs());
            alone.until_state(0, BackendState::Down).await;
            assert_eq!(effectively_down(&alone.snapshot_rx.borrow()), 1);

            let mut fixture = one_frequent_among_hourly().await;
            for number in 0..4 {
                fixture.answer(number, hangs());
            }
            fixture.until_state(0, BackendState::Down).await;
            assert_eq!(effectively_down(&fixture.snapshot_rx.borrow()), 0);
            fixture.edit(|config| {
                for number in 1..4 {
                    config.backends.remove(&name(number));
                }
            });
            fixture.until(|snapshot| effectively_down(snapshot) == 1).await;
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_path_that_fails_at_the_agents_start_is_suspect() {
    LocalSet::new()
        .run_until(async {
            let backends = (0..10).map(|number| backend(number, &check()));
            let options = crate::HealthOptions::new("test", 7);
            let mut fixture = CheckerFixture::start_with(options, backends, |fixture| {
                for number in 0..10 {
                    fixture.answer(number, hangs());
                }
            });
            let snapshot = fixture.until(|snapshot| count(snapshot, BackendState::Down) == 10).await;
            assert!(snapshot.suspect_v4);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn disabling_fail_open_ends_a_suspicion_and_prevents_others() {
    LocalSet::new()
        .run_until(async {
            let mut fixture = ten_up(&check()).await;
            for number in 0..10 {
                fixture.answer(number, hangs());
            }
            fixture.until(|snapshot| snapshot.suspect_v4).await;
            fixture.edit(|config| {
                let mut node = NodeConfig::default();
                node.probe.fail_open = false;
                config.node = Arc::new(node);
            });
            fixture.until(|snapshot| !snapshot.suspect_v4).await;
            fixture.until(|snapshot| count(snapshot, BackendState::Down) == 10).await;
            assert_eq!(path_events(&fixture), [suspect(Family::V4, true), suspect(Family::V4, false)]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_suspicion_ends_once_no_backend_of_the_family_is_probed() {
    LocalSet::new()
        .run_until(async {
            let mut fixture = ten_up(&check()).await;
            for number in 0..10 {
                fixture.answer(number, hangs());
            }
            fixture.until(|snapshot| count(snapshot, BackendState::Down) == 10).await;
            for number in 0..10 {
                assert!(fixture.snapshot_rx.borrow().suspect_v4);
                fixture.edit_backend(number, |backend| backend.admin_state = AdminState::Paused);
                fixture.until_state(number, BackendState::Paused).await;
            }
            fixture.until(|snapshot| !snapshot.suspect_v4).await;
        })
        .await;
}

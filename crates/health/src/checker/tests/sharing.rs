//! Backends with one address and HealthCheck share their probes.

use std::sync::Arc;

use tokio::{task::LocalSet, time::sleep};

use super::fixture::*;
use maglev_model::{
    config::{AdminState, Backend, Check, HealthCheck},
    event::Event,
    health::BackendState::{Down, Up},
    name::Name,
};

/// Backend `number` at the address of backend 1.
fn twin(number: u8, check: &HealthCheck) -> Backend {
    Backend { name: name(number), ..backend(1, check) }
}

#[tokio::test(start_paused = true)]
async fn one_probe_counts_for_every_backend() {
    LocalSet::new()
        .run_until(async {
            let mut fixture = CheckerFixture::start((1..=3).map(|number| twin(number, &check())));
            for number in 1..=3 {
                fixture.until_state(number, Up).await;
            }
            sleep(20 * SEC).await;
            let probes = fixture.starts_of(1).len();
            assert!((8..=13).contains(&probes), "{probes} probes in 20 s at an interval of 2 s");
            for number in 1..=3 {
                let is_of =
                    |event: &&Event| matches!(event, Event::ProbeDone { backend, .. } if *backend == name(number));
                assert_eq!(fixture.probe_events().iter().filter(is_of).count(), probes, "backend {number}");
                let last = fixture.options.last_probes.get(&name(number)).unwrap();
                assert_eq!(usize::try_from(last.probes), Ok(probes));
            }
            fixture.answer(1, refuses());
            for number in 1..=3 {
                fixture.until_state(number, Down).await;
            }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn backends_with_other_checks_have_their_own_probes() {
    LocalSet::new()
        .run_until(async {
            let other = HealthCheck { name: Name::namespaced("shop", "other"), ..check() };
            let mut fixture = CheckerFixture::start([twin(1, &check()), twin(2, &other)]);
            fixture.until_state(2, Up).await;
            sleep(20 * SEC).await;
            assert!(fixture.starts_of(1).len() >= 16);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn probes_go_on_when_the_backend_that_leads_leaves() {
    LocalSet::new()
        .run_until(async {
            let mut fixture = CheckerFixture::start((1..=3).map(|number| twin(number, &check())));
            fixture.until_state(3, Up).await;
            fixture.edit(|config| {
                config.backends.remove(&name(1));
            });
            fixture.edit_backend(2, |backend| backend.admin_state = AdminState::Paused);
            fixture.answer(1, refuses());
            fixture.until_state(3, Down).await;
            fixture.edit_backend(2, |backend| backend.admin_state = AdminState::Enabled);
            fixture.until_state(2, Down).await;
            fixture.edit_backend(3, |backend| backend.address = address(9));
            fixture.answer(1, succeeds());
            fixture.until_state(2, Up).await;
            fixture.until_state(3, Up).await;
            assert!(!fixture.starts_of(9).is_empty());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn new_backend_is_probed_soon() {
    LocalSet::new()
        .run_until(async {
            let slow = HealthCheck { interval: 60 * SEC, fast_interval: 60 * SEC, ..check() };
            let mut fixture = CheckerFixture::start([twin(1, &slow)]);
            fixture.until_state(1, Up).await;
            sleep(5 * SEC).await;
            let (probes, start) = (fixture.starts_of(1).len(), fixture.now());
            fixture.edit(|config| {
                let twin = twin(2, &slow);
                config.backends.insert(twin.name.clone(), Arc::new(twin));
            });
            fixture.until_state(2, Up).await;
            assert!(fixture.now() - start < SEC);
            assert_eq!(fixture.starts_of(1).len(), probes + 1);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_check_applies_to_every_backend() {
    LocalSet::new()
        .run_until(async {
            let mut fixture = CheckerFixture::start((1..=3).map(|number| twin(number, &check())));
            fixture.until_state(3, Up).await;
            let slow = HealthCheck { interval: 10 * SEC, ..check() };
            fixture.edit(|config| {
                config.backends = (1..=3).map(|number| (name(number), Arc::new(twin(number, &slow)))).collect();
            });
            sleep(30 * SEC).await;
            let before = fixture.starts_of(1).len();
            sleep(100 * SEC).await;
            let probes = fixture.starts_of(1).len() - before;
            assert!((8..=12).contains(&probes), "{probes} probes in 100 s at an interval of 10 s");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn equal_checks_of_other_names_have_probes_of_their_own() {
    LocalSet::new()
        .run_until(async {
            let mut fixture = CheckerFixture::start((1..=3).map(|number| twin(number, &check())));
            fixture.until_state(3, Up).await;
            let other = HealthCheck { name: Name::namespaced("shop", "other"), ..check() };
            // The one that leads, and one that follows.
            for number in [1, 3] {
                fixture.edit_backend(number, |backend| backend.check = Check::Probe(Arc::new(other.clone())));
                fixture.answer(1, refuses());
                for number in 1..=3 {
                    fixture.until_state(number, Down).await;
                }
                fixture.answer(1, succeeds());
                for number in 1..=3 {
                    fixture.until_state(number, Up).await;
                }
            }
            fixture.edit(|config| {
                config.backends.remove(&name(1));
            });
            fixture.answer(1, refuses());
            fixture.until_state(2, Down).await;
            fixture.until_state(3, Down).await;
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_shared_address_is_one_witness_for_its_path() {
    LocalSet::new()
        .run_until(async {
            // Without peers, a failed backend falls at once; its twins are no peers.
            let mut fixture = CheckerFixture::start((1..=5).map(|number| twin(number, &check())));
            fixture.until_state(5, Up).await;
            fixture.answer(1, hangs());
            let down = fixture.until_state(5, Down).await;
            assert!(!down.in_doubt);
            assert!(!fixture.snapshot_rx.borrow().suspect_v4);
        })
        .await;
}

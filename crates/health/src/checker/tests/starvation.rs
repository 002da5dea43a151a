//! Starvation of this process never brings a backend down.

use tokio::{
    task::LocalSet,
    time::{Duration, advance, sleep},
};

use super::fixture::*;
use crate::ProbeOutcome;
use maglev_model::{config::HealthCheck, health::BackendState};

#[tokio::test(start_paused = true)]
async fn a_paused_process_discards_failed_probes() {
    LocalSet::new()
        .run_until(async {
            let one_miss = HealthCheck { fall: 1, ..check() };
            let mut fixture = CheckerFixture::start((0..20).map(|number| backend(number, &one_miss)));
            let all_up = |snapshot: &maglev_model::health::HealthSnapshot| {
                snapshot.backends.values().filter(|backend| backend.state == BackendState::Up).count() == 20
            };
            fixture.until(all_up).await;
            // The backends answer, but only after the process has been paused for longer than the timeout.
            for number in 0..20 {
                fixture.answer(number, hangs());
            }
            for _ in 0..5 {
                while fixture.in_flight() < 3 {
                    sleep(10 * MS).await;
                }
                advance(30 * SEC).await;
                for number in 0..20 {
                    fixture.answer(number, succeeds());
                }
                sleep(10 * SEC).await;
                assert!(all_up(&fixture.snapshot_rx.borrow()));
                for number in 0..20 {
                    fixture.answer(number, hangs());
                }
            }
            assert!(fixture.options.metrics.discarded.get() >= 15);
            assert_eq!(fixture.events().len(), 20, "no transition after the start");
            // In a process that runs, the same outcomes bring all backends down.
            fixture
                .until(|snapshot| snapshot.backends.values().all(|backend| backend.state == BackendState::Down))
                .await;
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_process_stopped_in_turns_marks_only_refusing_backends_down() {
    LocalSet::new()
        .run_until(async {
            for timeout in [20 * MS, 100 * MS, SEC] {
                let check = HealthCheck { timeout, fall: 2, ..check() };
                let mut fixture = CheckerFixture::start((0..20).map(|number| backend(number, &check)));
                fixture.edit(|config| {
                    let check = std::sync::Arc::new(check.clone());
                    config.health_checks.insert(check.name.clone(), check);
                });
                let up = |snapshot: &maglev_model::health::HealthSnapshot| {
                    snapshot.backends.values().filter(|backend| backend.state == BackendState::Up).count()
                };
                fixture.until(|snapshot| up(snapshot) == 20).await;
                // 90 ms of every 100 ms are lost: all backends time out, except two that refuse.
                for number in 0..20 {
                    fixture.answer(number, if number < 18 { hangs() } else { refuses() });
                }
                for _ in 0..600 {
                    advance(90 * MS).await;
                    sleep(10 * MS).await;
                }
                let snapshot = fixture.snapshot_rx.borrow().clone();
                assert_eq!(up(&snapshot), 18, "timeout {timeout:?}");
                for number in 18..20 {
                    assert_eq!(state_in(&snapshot, number), Some(BackendState::Down), "a late refusal counts, too");
                }
                assert!(fixture.options.metrics.discarded.get() > 20);
            }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_probe_retries_and_marks_no_backend_down() {
    LocalSet::new()
        .run_until(async {
            let hourly = HealthCheck { interval: Duration::from_hours(1), fall: 1, ..check() };
            let mut fixture = CheckerFixture::start([backend(1, &hourly), backend(2, &hourly)]);
            fixture.until_state(1, BackendState::Up).await;
            fixture.answer(2, ScriptedOutcome { after: MS, outcome: ProbeOutcome::not_probed("too many open files") });
            sleep(60 * SEC).await;
            let failed = fixture.options.metrics.not_probed.get();
            assert!((50..70).contains(&failed), "repeated about every second: {failed}");
            assert_ne!(state_in(&fixture.snapshot_rx.borrow(), 2), Some(BackendState::Down));
            fixture.answer(2, succeeds());
            fixture.until_state(2, BackendState::Up).await;
        })
        .await;
}

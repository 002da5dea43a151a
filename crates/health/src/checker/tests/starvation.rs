//! What is this process's own fault never brings a backend down.

use tokio::{
    task::LocalSet,
    time::{Duration, advance, sleep},
};

use super::world::*;
use crate::Outcome;
use maglev_model::{config::HealthCheck, health::BackendState};

#[tokio::test(start_paused = true)]
async fn a_process_that_stood_still_discards_the_failures_it_finds() {
    LocalSet::new()
        .run_until(async {
            let one_miss = HealthCheck { fall: 1, ..check() };
            let mut world = World::start((0..20).map(|number| backend(number, &one_miss)));
            let all_up = |snapshot: &maglev_model::health::HealthSnapshot| {
                snapshot.backends.values().filter(|backend| backend.state == BackendState::Up).count() == 20
            };
            world.until(all_up).await;
            // Answers come, but only after the process has stood still for longer than the timeout.
            for number in 0..20 {
                world.answer(number, hangs());
            }
            for _ in 0..5 {
                while world.under_way() < 3 {
                    sleep(10 * MS).await;
                }
                advance(30 * SEC).await;
                for number in 0..20 {
                    world.answer(number, succeeds());
                }
                sleep(10 * SEC).await;
                assert!(all_up(&world.snapshot_rx.borrow()));
                for number in 0..20 {
                    world.answer(number, hangs());
                }
            }
            assert!(world.options.metrics.discarded.get() >= 15);
            assert_eq!(world.told().len(), 20, "the transitions at the start and no other");
            // The same answers to a process that runs do bring them down.
            world.until(|snapshot| snapshot.backends.values().all(|backend| backend.state == BackendState::Down)).await;
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_stopped_in_turns_marks_nothing_down_but_what_refuses() {
    LocalSet::new()
        .run_until(async {
            for timeout in [20 * MS, 100 * MS, SEC] {
                let check = HealthCheck { timeout, fall: 2, ..check() };
                let mut world = World::start((0..20).map(|number| backend(number, &check)));
                world.edit(|config| {
                    let check = std::sync::Arc::new(check.clone());
                    config.health_checks.insert(check.name.clone(), check);
                });
                let up = |snapshot: &maglev_model::health::HealthSnapshot| {
                    snapshot.backends.values().filter(|backend| backend.state == BackendState::Up).count()
                };
                world.until(|snapshot| up(snapshot) == 20).await;
                // 90 ms of every 100 ms are lost, and with them the answers of all but two, which refuse.
                for number in 0..20 {
                    world.answer(number, if number < 18 { hangs() } else { refuses() });
                }
                for _ in 0..600 {
                    advance(90 * MS).await;
                    sleep(10 * MS).await;
                }
                let snapshot = world.snapshot_rx.borrow().clone();
                assert_eq!(up(&snapshot), 18, "timeout {timeout:?}");
                for number in 18..20 {
                    assert_eq!(state_in(&snapshot, number), Some(BackendState::Down), "a refusal is one, however late");
                }
                assert!(world.options.metrics.discarded.get() > 20);
            }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_probe_tries_again_and_marks_nothing_down() {
    LocalSet::new()
        .run_until(async {
            let hourly = HealthCheck { interval: Duration::from_hours(1), fall: 1, ..check() };
            let mut world = World::start([backend(1, &hourly), backend(2, &hourly)]);
            world.until_state(1, BackendState::Up).await;
            world.answer(2, Answer { after: MS, outcome: Outcome::not_probed("too many open files") });
            sleep(60 * SEC).await;
            let failed = world.options.metrics.not_probed.get();
            assert!((50..70).contains(&failed), "repeated about every second: {failed}");
            assert_ne!(state_in(&world.snapshot_rx.borrow(), 2), Some(BackendState::Down));
            world.answer(2, succeeds());
            world.until_state(2, BackendState::Up).await;
        })
        .await;
}

//! When probes start.

use std::time::Duration;

use tokio::{task::LocalSet, time::sleep};

use super::world::*;
use crate::HealthOptions;
use maglev_model::health::{BackendState, ProbeCode};

#[tokio::test(start_paused = true)]
async fn the_first_probes_are_spread_over_the_interval_or_the_least_startup_delay() {
    LocalSet::new()
        .run_until(async {
            for (interval, window) in [(60 * SEC, 5 * SEC), (2 * SEC, 2 * SEC)] {
                let check = maglev_model::config::HealthCheck { interval, ..check() };
                let mut world = World::start((0..100).map(|number| backend(number, &check)));
                world
                    .until(|snapshot| snapshot.backends.values().filter(|b| b.state == BackendState::Up).count() == 100)
                    .await;
                let first: Vec<_> = (0..100).map(|number| world.starts_of(number)[0]).collect();
                for part in 0..10 {
                    let within = window * part / 10..window * (part + 1) / 10 + 2 * MS;
                    let count = first.iter().filter(|&at| within.contains(at)).count();
                    assert!((9..=12).contains(&count), "{count} of 100 starts within {within:?}");
                }
            }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn delays_run_from_start_to_start_with_ten_percent_of_jitter() {
    LocalSet::new()
        .run_until(async {
            let world = World::start_with(HealthOptions::new("test", 7), [backend(1, &check())], |world| {
                world.answer(1, Answer { after: 700 * MS, ..succeeds() });
            });
            sleep(1000 * SEC).await;
            let gaps = gaps(&world.starts_of(1));
            assert!(gaps.len() > 450);
            assert!(gaps.iter().all(|gap| is_about(*gap, 2 * SEC)), "{gaps:?}");
            assert!(gaps.iter().any(|gap| *gap < 1850 * MS) && gaps.iter().any(|gap| *gap > 2150 * MS));
            let mean = gaps.iter().sum::<Duration>() / u32::try_from(gaps.len()).unwrap();
            assert!((1970 * MS..2030 * MS).contains(&mean), "{mean:?}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_counter_chooses_between_the_three_intervals() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::start([backend(1, &check())]);
            world.until_state(1, BackendState::Up).await;
            world.answer(1, refuses());
            let up = world.starts_of(1).len();
            world.until_state(1, BackendState::Down).await;
            sleep(20 * SEC).await;
            world.answer(1, succeeds());
            let down = world.starts_of(1).len();
            world.until_state(1, BackendState::Up).await;
            let starts = world.starts_of(1);
            let falling = gaps(&starts[up - 1..up + 3]);
            let wanted = [2 * SEC, SEC, SEC];
            assert!(falling.iter().zip(wanted).all(|(gap, delay)| is_about(*gap, delay)), "{falling:?}");
            let lying = gaps(&starts[up + 2..=down]);
            assert!(lying.len() >= 4 && lying.iter().all(|gap| is_about(*gap, 4 * SEC)), "{lying:?}");
            let rising = gaps(&starts[down..]);
            assert!(rising.len() == 1 && is_about(rising[0], SEC), "{rising:?}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_longer_than_the_interval_is_followed_at_once_and_never_overlapped() {
    LocalSet::new()
        .run_until(async {
            let mut slow = check();
            slow.timeout = 10 * SEC;
            let world = World::start_with(HealthOptions::new("test", 7), [backend(1, &slow)], |world| {
                world.answer(1, Answer { after: 5 * SEC, ..succeeds() });
            });
            sleep(100 * SEC).await;
            let starts = world.starts();
            assert!(starts.len() >= 19);
            assert!(starts.iter().all(|start| start.under_way.1 == 1));
            let gaps = gaps(&world.starts_of(1));
            assert!(gaps.iter().all(|gap| (5 * SEC..5 * SEC + 5 * MS).contains(gap)), "{gaps:?}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn probes_under_way_are_bounded_and_all_get_their_turn() {
    LocalSet::new()
        .run_until(async {
            let options = HealthOptions { max_in_flight: 3, ..HealthOptions::new("test", 7) };
            let mut world = World::start_with(options, (0..20).map(|number| backend(number, &check())), |world| {
                for number in 0..20 {
                    world.answer(number, hangs());
                }
            });
            world
                .until(|snapshot| snapshot.backends.values().filter(|b| b.state == BackendState::Down).count() == 20)
                .await;
            let most = world.starts().iter().map(|start| start.under_way.0).max();
            assert_eq!(most, Some(3));
            assert!(world.options.metrics.limited.get() > 0, "it is told");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_run() {
    LocalSet::new()
        .run_until(async {
            let mut runs = Vec::new();
            for seed in [7, 7, 8] {
                let backends = (0..10).map(|number| backend(number, &check()));
                let world = World::start_with(HealthOptions::new("test", seed), backends, |_| {});
                sleep(30 * SEC).await;
                runs.push(world.starts());
            }
            assert_eq!(runs[0], runs[1]);
            assert_ne!(runs[0], runs[2]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn every_probe_is_told_with_its_start_and_its_end() {
    use maglev_model::event::Event;
    LocalSet::new()
        .run_until(async {
            let mut world = World::start_with(HealthOptions::new("test", 7), [backend(1, &check())], |world| {
                world.answer(1, Answer { after: 30 * MS, ..refuses() });
            });
            world.until_state(1, BackendState::Down).await;
            let told = world.told_of_probes();
            assert_eq!(told[0], Event::ProbeStart { backend: name(1), kind: "TCP" });
            let Event::ProbeDone { backend, kind, code, duration } = &told[1] else { panic!("{told:?}") };
            assert_eq!((backend, *kind, *code), (&name(1), "TCP", ProbeCode::L4Connection));
            assert!((30 * MS..33 * MS).contains(duration), "{duration:?}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn probes_are_counted_as_they_are_told_until_their_backend_is_gone() {
    use maglev_model::event::Event;
    use std::collections::BTreeMap;
    LocalSet::new()
        .run_until(async {
            let registry = prometheus::Registry::new();
            let options = HealthOptions::new("test", 7);
            options.metrics.register(&registry).unwrap();
            let mut world = World::start_with(options, (0..5).map(|number| backend(number, &check())), |world| {
                world.answer(3, refuses());
                world.answer(4, hangs());
            });
            sleep(100 * SEC).await;
            let counted = || -> BTreeMap<String, u64> {
                let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
                let of = |line: &str| {
                    let (labels, value) = line.strip_prefix("maglev_probe_total")?.rsplit_once(' ')?;
                    Some((labels.to_owned(), value.parse().unwrap()))
                };
                text.lines().filter_map(of).collect()
            };
            let mut told = BTreeMap::new();
            for event in world.told_of_probes() {
                if let Event::ProbeDone { backend, kind, code, .. } = event {
                    let result = code.result();
                    let labels = format!(r#"{{backend="{backend}",code="{code}",result="{result}",type="{kind}"}}"#);
                    *told.entry(labels).or_insert(0) += 1;
                }
            }
            assert_eq!(counted(), told);
            assert!(told.len() == 5 && told.values().all(|count| *count > 20), "{told:?}");

            world.edit(|config| drop(config.backends.remove(&name(4))));
            world.edit_backend(3, |backend| backend.check = maglev_model::config::Check::None);
            world.until_state(3, BackendState::Up).await;
            assert!(counted().keys().all(|labels| !labels.contains("web-004")), "{:?}", counted());
            world.until(|snapshot| state_in(snapshot, 4).is_none()).await;
            assert_eq!(counted().len(), 4, "what was counted of one that is not probed any more stays");
        })
        .await;
}

//! The start times of probes.

use std::time::Duration;

use tokio::{task::LocalSet, time::sleep};

use super::fixture::*;
use crate::HealthOptions;
use maglev_model::health::{BackendState, ProbeCode};

#[tokio::test(start_paused = true)]
async fn first_probes_are_spread_over_the_shorter_of_interval_and_startup_min_delay() {
    LocalSet::new()
        .run_until(async {
            for (interval, window) in [(60 * SEC, 5 * SEC), (2 * SEC, 2 * SEC)] {
                let check = maglev_model::config::HealthCheck { interval, ..check() };
                let mut fixture = CheckerFixture::start((0..100).map(|number| backend(number, &check)));
                fixture
                    .until(|snapshot| snapshot.backends.values().filter(|b| b.state == BackendState::Up).count() == 100)
                    .await;
                let first: Vec<_> = (0..100).map(|number| fixture.starts_of(number)[0]).collect();
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
async fn intervals_run_from_start_to_start_with_ten_percent_of_jitter() {
    LocalSet::new()
        .run_until(async {
            let fixture =
                CheckerFixture::start_with(HealthOptions::new("test", 7), [backend(1, &check())], |fixture| {
                    fixture.answer(1, ScriptedOutcome { after: 700 * MS, ..succeeds() });
                });
            sleep(1000 * SEC).await;
            let gaps = gaps(&fixture.starts_of(1));
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
            let mut fixture = CheckerFixture::start([backend(1, &check())]);
            fixture.until_state(1, BackendState::Up).await;
            fixture.answer(1, refuses());
            let up = fixture.starts_of(1).len();
            fixture.until_state(1, BackendState::Down).await;
            sleep(20 * SEC).await;
            fixture.answer(1, succeeds());
            let down = fixture.starts_of(1).len();
            fixture.until_state(1, BackendState::Up).await;
            let starts = fixture.starts_of(1);
            let falling = gaps(&starts[up - 1..up + 3]);
            let expected = [2 * SEC, SEC, SEC];
            assert!(falling.iter().zip(expected).all(|(gap, delay)| is_about(*gap, delay)), "{falling:?}");
            let while_down = gaps(&starts[up + 2..=down]);
            assert!(while_down.len() >= 4 && while_down.iter().all(|gap| is_about(*gap, 4 * SEC)), "{while_down:?}");
            let rising = gaps(&starts[down..]);
            assert!(rising.len() == 1 && is_about(rising[0], SEC), "{rising:?}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_longer_than_the_interval_never_overlaps_with_the_next() {
    LocalSet::new()
        .run_until(async {
            let mut slow = check();
            slow.timeout = 10 * SEC;
            let fixture = CheckerFixture::start_with(HealthOptions::new("test", 7), [backend(1, &slow)], |fixture| {
                fixture.answer(1, ScriptedOutcome { after: 5 * SEC, ..succeeds() });
            });
            sleep(100 * SEC).await;
            let starts = fixture.starts();
            assert!(starts.len() >= 19);
            assert!(starts.iter().all(|start| start.in_flight.to_address == 1));
            let gaps = gaps(&fixture.starts_of(1));
            assert!(gaps.iter().all(|gap| (5 * SEC..5 * SEC + 5 * MS).contains(gap)), "{gaps:?}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn probes_in_flight_are_bounded_and_all_backends_are_probed() {
    LocalSet::new()
        .run_until(async {
            let options = HealthOptions { max_in_flight: 3, ..HealthOptions::new("test", 7) };
            let mut fixture =
                CheckerFixture::start_with(options, (0..20).map(|number| backend(number, &check())), |fixture| {
                    for number in 0..20 {
                        fixture.answer(number, hangs());
                    }
                });
            fixture
                .until(|snapshot| snapshot.backends.values().filter(|b| b.state == BackendState::Down).count() == 20)
                .await;
            let max_in_flight = fixture.starts().iter().map(|start| start.in_flight.total).max();
            assert_eq!(max_in_flight, Some(3));
            assert!(fixture.options.metrics.limited.get() > 0, "the limit is counted");
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
                let fixture = CheckerFixture::start_with(HealthOptions::new("test", seed), backends, |_| {});
                sleep(30 * SEC).await;
                runs.push(fixture.starts());
            }
            assert_eq!(runs[0], runs[1]);
            assert_ne!(runs[0], runs[2]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn every_probe_emits_an_event_at_its_start_and_at_its_end() {
    use maglev_model::event::Event;
    LocalSet::new()
        .run_until(async {
            let mut fixture =
                CheckerFixture::start_with(HealthOptions::new("test", 7), [backend(1, &check())], |fixture| {
                    fixture.answer(1, ScriptedOutcome { after: 30 * MS, ..refuses() });
                });
            fixture.until_state(1, BackendState::Down).await;
            let events = fixture.probe_events();
            assert_eq!(events[0], Event::ProbeStart { backend: name(1), kind: "TCP" });
            let Event::ProbeDone { backend, kind, code, duration } = &events[1] else { panic!("{events:?}") };
            assert_eq!((backend, *kind, *code), (&name(1), "TCP", ProbeCode::L4Connection));
            assert!((30 * MS..33 * MS).contains(duration), "{duration:?}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn probe_metrics_match_probe_events_until_the_backend_is_removed() {
    use maglev_model::event::Event;
    use std::collections::BTreeMap;
    LocalSet::new()
        .run_until(async {
            let registry = prometheus::Registry::new();
            let options = HealthOptions::new("test", 7);
            options.metrics.register(&registry).unwrap();
            let mut fixture =
                CheckerFixture::start_with(options, (0..5).map(|number| backend(number, &check())), |fixture| {
                    fixture.answer(3, refuses());
                    fixture.answer(4, hangs());
                });
            sleep(100 * SEC).await;
            let counted = || -> BTreeMap<String, u64> {
                let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
                let parse = |line: &str| {
                    let (labels, value) = line.strip_prefix("maglev_probe_total")?.rsplit_once(' ')?;
                    Some((labels.to_owned(), value.parse().unwrap()))
                };
                text.lines().filter_map(parse).collect()
            };
            let mut emitted = BTreeMap::new();
            for event in fixture.probe_events() {
                if let Event::ProbeDone { backend, kind, code, .. } = event {
                    let result = code.result();
                    let labels = format!(r#"{{backend="{backend}",code="{code}",result="{result}",type="{kind}"}}"#);
                    *emitted.entry(labels).or_insert(0) += 1;
                }
            }
            assert_eq!(counted(), emitted);
            assert!(emitted.len() == 5 && emitted.values().all(|count| *count > 20), "{emitted:?}");

            fixture.edit(|config| drop(config.backends.remove(&name(4))));
            fixture.edit_backend(3, |backend| backend.check = maglev_model::config::Check::None);
            fixture.until_state(3, BackendState::Up).await;
            assert!(counted().keys().all(|labels| !labels.contains("web-004")), "{:?}", counted());
            fixture.until(|snapshot| state_in(snapshot, 4).is_none()).await;
            assert_eq!(counted().len(), 4, "the counts of a backend that is no longer probed stay");
        })
        .await;
}

//! Probes on request.

use tokio::time::sleep;

use super::{Fixture, MS, SEC, Script, backend, frontend, key, simulate};
use maglev_model::{Name, path::PathState};
use std::sync::Arc;

async fn requested(fixture: &Fixture, number: u8) -> Vec<(String, PathState)> {
    let found = fixture.prober.probe(backend(number).name).await;
    found.into_iter().map(|(key, health)| (key.frontend.to_string(), health.state)).collect()
}

fn found(state: PathState) -> Vec<(String, PathState)> {
    vec![("shop/web".to_owned(), state)]
}

#[test]
fn result_is_that_of_a_probe_with_a_large_packet_made_now() {
    for (script, state) in [
        (Script::Accepts, PathState::Ok),
        (Script::Silent, PathState::Timeout),
        (Script::Refuses, PathState::Refused),
        (Script::LosesLarge, PathState::MtuTooSmall),
        (Script::NotSent, PathState::Unable),
    ] {
        simulate(async move {
            let fixture = Fixture::start(1, &[]);
            sleep(25 * SEC).await;
            fixture.script(1, script);
            let syns = fixture.syns_to(1).len();
            assert_eq!(requested(&fixture, 1).await, found(state), "{script:?}");
            assert!(fixture.syns_to(1).len() > syns || script == Script::NotSent, "{script:?}");
            assert_eq!(fixture.states(1), [PathState::Ok], "one failure does not change the state");
        });
    }
}

#[test]
fn requests_keep_to_the_pace_and_count() {
    simulate(async {
        let fixture = Fixture::start(2, &[]);
        sleep(25 * SEC).await;
        fixture.script(1, Script::Refuses);
        for _ in 0..3 {
            assert_eq!(requested(&fixture, 1).await, found(PathState::Refused));
        }
        assert_eq!(fixture.states(1), [PathState::Ok, PathState::Refused], "three failures in a row");
        let times: Vec<_> = fixture.syns_to(1).iter().map(|syn| syn.at).collect();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= SEC), "{times:?}");
    });
}

#[test]
fn paths_of_all_frontends_are_probed_and_others_are_not() {
    simulate(async {
        let mut fixture = Fixture::start(2, &[]);
        let mut other = frontend(1);
        other.name = Name::from("shop/another");
        other.vip.address = "203.0.113.11".parse().unwrap();
        fixture.config.frontends.insert(other.name.clone(), Arc::new(other));
        fixture.config_tx.send_replace(Some(fixture.config.clone()));
        sleep(25 * SEC).await;
        let (before, others) = (fixture.syns_to(1).len(), fixture.syns_to(2).len());
        let results = requested(&fixture, 1).await;
        assert_eq!(results, [("shop/another".to_owned(), PathState::Ok), ("shop/web".to_owned(), PathState::Ok)]);
        assert_eq!(fixture.syns_to(1).len(), before + 4, "a small and a large SYN for each VIP");
        assert_eq!(fixture.syns_to(2).len(), others);
        assert!(requested(&fixture, 9).await.is_empty(), "not a backend of any Frontend");
    });
}

#[test]
fn request_ends_when_the_path_is_no_longer_probed() {
    simulate(async {
        let mut fixture = Fixture::start(1, &[(1, Script::Silent)]);
        sleep(5 * SEC).await;
        let prober = fixture.prober.clone();
        let request = tokio::task::spawn_local(async move { prober.probe(key(1).backend).await });
        sleep(MS).await;
        fixture.edit(|frontend| frontend.path_probe = None);
        assert!(request.await.unwrap().is_empty());
    });
}

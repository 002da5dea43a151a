//! Paths that Frontends require, as the agent sees them.

use std::{sync::Arc, time::Duration};

use tokio::time::{advance, sleep};

use super::{Fixture, MS, SEC, Script, backend, frontend, simulate};
use maglev_model::{
    config::MemberTarget,
    path::{PathKey, PathMode, PathProbe, PathState},
    weights::BackendCondition,
};
use maglev_testkit::objects;

const REQUIRED: PathProbe = PathProbe { mode: PathMode::Require, interval: Duration::from_secs(10), packet_size: 1500 };

impl Fixture {
    /// A checker for one Frontend that requires the paths to its backends.
    fn requiring(count: u8, scripts: &[(u8, Script)]) -> Self {
        let mut fixture = Self::start(count, scripts);
        fixture.edit(|frontend| frontend.path_probe = Some(REQUIRED));
        fixture
    }

    /// The condition in which the agent sees a backend that is up, given its path.
    fn condition(&self, number: u8) -> BackendCondition {
        let target = MemberTarget::Backend(Arc::new(backend(number)));
        let frontend = self.config.frontends.values().next().unwrap();
        BackendCondition::Up.with_path_of(frontend, &target, &self.snapshot_rx.borrow())
    }
}

#[test]
fn required_path_counts_with_rise_and_fall() {
    simulate(async {
        let fixture = Fixture::requiring(2, &[]);
        assert_eq!(fixture.condition(1), BackendCondition::PathUnknown);
        sleep(25 * SEC).await;
        assert_eq!(fixture.condition(1), BackendCondition::Up);
        fixture.script(1, Script::Refuses);
        let syns = fixture.syns_to(1).len();
        while fixture.syns_to(1).len() < syns + 2 {
            sleep(100 * MS).await;
        }
        sleep(100 * MS).await;
        assert_eq!(fixture.condition(1), BackendCondition::Up, "two of three failures");
        sleep(20 * SEC).await;
        assert_eq!(fixture.condition(1), BackendCondition::PathDown);
        assert_eq!(fixture.condition(2), BackendCondition::Up);
        fixture.script(1, Script::Accepts);
        let syns = fixture.syns_to(1).len();
        while fixture.syns_to(1).len() < syns + 2 {
            sleep(100 * MS).await;
        }
        sleep(100 * MS).await;
        assert_eq!(fixture.condition(1), BackendCondition::PathDown, "one of two successes, which has two SYNs");
        sleep(20 * SEC).await;
        assert_eq!(fixture.condition(1), BackendCondition::Up);
    });
}

#[test]
fn paths_that_all_fail_are_in_doubt_until_one_works() {
    for script in [Script::Silent, Script::Refuses, Script::LosesLarge] {
        simulate(async move {
            let fixture = Fixture::requiring(3, &[]);
            sleep(25 * SEC).await;
            (1..=3).for_each(|number| fixture.script(number, script));
            for _ in 0..600 {
                sleep(100 * MS).await;
                for number in 1..=3 {
                    assert_ne!(fixture.condition(number), BackendCondition::PathDown, "{script:?}");
                }
            }
            let conditions: Vec<BackendCondition> = (1..=3).map(|number| fixture.condition(number)).collect();
            assert_eq!(conditions, [BackendCondition::PathSuspect; 3], "{script:?}");
            for number in 1..=3 {
                let times: Vec<Duration> = fixture.syns_to(number).iter().map(|syn| syn.at).collect();
                assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= SEC), "{times:?}");
            }

            fixture.script(1, Script::Accepts);
            sleep(30 * SEC).await;
            let conditions: Vec<BackendCondition> = (1..=3).map(|number| fixture.condition(number)).collect();
            let [up, down] = [BackendCondition::Up, BackendCondition::PathDown];
            assert_eq!(conditions, [up, down, down], "{script:?}");
        });
    }
}

#[test]
fn path_that_falls_alone_is_confirmed_by_others_at_once() {
    simulate(async {
        let mut fixture = Fixture::requiring(3, &[]);
        let hourly = PathProbe { interval: 3600 * SEC, ..REQUIRED };
        let fast = PathProbe { interval: 2 * SEC, ..REQUIRED };
        fixture.edit(|frontend| frontend.path_probe = Some(hourly));
        sleep(60 * SEC).await;
        let before: usize = (2..=3).map(|number| fixture.syns_to(number).len()).sum();
        // Of one Frontend all paths have one interval: another Frontend probes the failing backend more often.
        let mut other = frontend(1);
        other.name = objects::name("shop/other");
        other.vip.address = "203.0.113.11".parse().unwrap();
        other.path_probe = Some(fast);
        fixture.config.frontends.insert(other.name.clone(), Arc::new(other));
        fixture.config_tx.send_replace(Some(fixture.config.clone()));
        sleep(20 * SEC).await;
        assert_eq!(
            (2..=3).map(|number| fixture.syns_to(number).len()).sum::<usize>(),
            before,
            "an hour has not passed"
        );
        fixture.script(1, Script::Silent);
        sleep(20 * SEC).await;
        assert!((2..=3).map(|number| fixture.syns_to(number).len()).sum::<usize>() > before, "probed to confirm");
        let key = PathKey { frontend: objects::name("shop/other"), backend: backend(1).name };
        let snapshot = fixture.snapshot_rx.borrow().clone();
        assert_eq!((snapshot.paths[&key].state, snapshot.paths[&key].in_doubt), (PathState::Timeout, false));
    });
}

#[test]
fn only_required_paths_are_published_to_the_agent() {
    simulate(async {
        let mut fixture = Fixture::start(2, &[(2, Script::Silent)]);
        sleep(5 * SEC).await;
        assert!(fixture.snapshot_rx.borrow().paths.is_empty(), "reported only");
        assert_eq!(fixture.condition(2), BackendCondition::Up, "weights do not follow");

        fixture.edit(|frontend| frontend.path_probe = Some(REQUIRED));
        sleep(MS).await;
        assert_eq!((fixture.condition(1), fixture.condition(2)), (BackendCondition::Up, BackendCondition::PathDown));
        assert_eq!(fixture.states(2), [PathState::Timeout], "the probing goes on");

        fixture.edit(|frontend| frontend.path_probe = Some(PathProbe::default()));
        sleep(MS).await;
        assert!(fixture.snapshot_rx.borrow().paths.is_empty());
        fixture.edit(|frontend| frontend.path_probe = Some(REQUIRED));
        sleep(MS).await;
        fixture.edit(|frontend| frontend.pools.clear());
        sleep(MS).await;
        assert!(fixture.snapshot_rx.borrow().paths.is_empty(), "no longer probed");
    });
}

#[test]
fn node_that_cannot_probe_keeps_weights() {
    simulate(async {
        let fixture = Fixture::requiring(2, &[]);
        sleep(25 * SEC).await;
        (1..=2).for_each(|number| fixture.script(number, Script::NotSent));
        sleep(120 * SEC).await;
        assert_eq!(fixture.condition(1), BackendCondition::PathUnknown);
    });
}

#[test]
fn stopped_process_brings_no_path_down() {
    simulate(async {
        let fixture = Fixture::requiring(2, &[]);
        sleep(25 * SEC).await;
        fixture.script(1, Script::Silent);
        for _ in 0..5 {
            let syns = fixture.syns_to(1).len();
            while fixture.syns_to(1).len() == syns {
                sleep(10 * MS).await;
            }
            // The answer of a backend could not have been received.
            advance(30 * SEC).await;
        }
        sleep(MS).await;
        assert_eq!(fixture.condition(1), BackendCondition::Up);
        sleep(30 * SEC).await;
        assert_eq!(fixture.condition(1), BackendCondition::PathDown, "in a process that runs");
    });
}

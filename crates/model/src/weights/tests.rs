use std::sync::Arc;

use jiff::Timestamp;

use super::*;
use crate::{
    config::AdminState,
    path::{PathMode, PathProbe},
    test_objects::{backend, frontend, pool},
};

fn path_key(frontend: &Frontend, backend: &Backend) -> PathKey {
    PathKey { frontend: frontend.name.clone(), backend: backend.name.clone() }
}

fn path(backend: &Backend, state: PathState, in_doubt: bool) -> PathHealth {
    PathHealth { address: backend.address, state, since: Timestamp::UNIX_EPOCH, in_doubt, detail: "".into() }
}

/// A Frontend with the primary backends `one` and `two` and the standby `three`, which all are up.
fn web(mode: PathMode) -> (Frontend, [Arc<Backend>; 3], HealthSnapshot) {
    let backends = [backend("shop/one", 1), backend("shop/two", 2), backend("shop/three", 3)];
    let [one, two, three] = &backends;
    let pools = vec![pool("primary", &[one, two]), pool("standby", &[three])];
    let path_probe = Some(PathProbe { mode, ..PathProbe::default() });
    let frontend = Frontend { path_probe, ..(*frontend("shop/web", [203, 0, 113, 10], pools)).clone() };
    let mut health = HealthSnapshot::default();
    for backend in &backends {
        let up = BackendHealth {
            address: backend.address,
            state: BackendState::Up,
            ever_known: true,
            in_doubt: false,
            history: Arc::default(),
        };
        health.backends.insert(backend.name.clone(), up);
        health.paths.insert(path_key(&frontend, backend), path(backend, PathState::Ok, false));
    }
    (frontend, backends, health)
}

fn weights(frontend: &Frontend, health: &HealthSnapshot, vpp: Option<u8>) -> Vec<u8> {
    let effective = effective_weights(frontend, health, |_| vpp);
    effective.ases.values().map(|server| server.weight.effective(vpp)).collect()
}

#[test]
fn required_path_determines_the_weight_of_a_backend_that_is_up() {
    use BackendCondition::{PathDown, PathSuspect, PathUnknown, Up};
    let (frontend, [one, ..], health) = web(PathMode::Require);
    let weight = Weight::DEFAULT.get();
    for (state, in_doubt, condition, in_vpp, expected) in [
        (PathState::Ok, false, Up, Some(0), weight),
        (PathState::Timeout, false, PathDown, Some(40), 0),
        (PathState::Refused, false, PathDown, Some(40), 0),
        (PathState::MtuTooSmall, false, PathDown, Some(40), 0),
        (PathState::Timeout, true, PathSuspect, Some(40), 40),
        (PathState::Timeout, true, PathSuspect, None, weight),
        (PathState::Unknown, false, PathUnknown, Some(40), 40),
        (PathState::Unknown, false, PathUnknown, None, 0),
        (PathState::Unable, false, PathUnknown, Some(40), 40),
    ] {
        let mut health = health.clone();
        health.paths.insert(path_key(&frontend, &one), path(&one, state, in_doubt));
        let found = effective_weights(&frontend, &health, |_| in_vpp).ases[&one.address].condition;
        assert_eq!(found, condition, "{state} {in_doubt}");
        assert_eq!(weights(&frontend, &health, in_vpp)[0], expected, "{state} {in_doubt} {in_vpp:?}");
    }
}

#[test]
fn reported_path_never_changes_a_weight() {
    let (frontend, backends, health) = web(PathMode::Report);
    let expected = weights(&frontend, &health, Some(40));
    for state in PathState::ALL {
        for in_doubt in [false, true] {
            let mut health = health.clone();
            for backend in &backends {
                health.paths.insert(path_key(&frontend, backend), path(backend, state, in_doubt));
            }
            assert_eq!(weights(&frontend, &health, Some(40)), expected, "{state}");
        }
    }
}

#[test]
fn required_path_matters_only_while_the_backend_is_up_and_only_in_its_frontend() {
    let (frontend, [one, ..], mut health) = web(PathMode::Require);
    health.paths.insert(path_key(&frontend, &one), path(&one, PathState::Refused, false));
    let target = MemberTarget::Backend(Arc::clone(&one));
    let condition =
        |frontend: &Frontend, health: &HealthSnapshot| BackendCondition::of_member(frontend, &target, health);
    assert_eq!(condition(&frontend, &health), BackendCondition::PathDown);
    let other = Frontend { name: Name::from("shop/other"), ..frontend.clone() };
    assert_eq!(condition(&other, &health), BackendCondition::PathUnknown, "a path of its own");
    assert_eq!(condition(&Frontend { path_probe: None, ..other }, &health), BackendCondition::Up);

    let mut moved = health.clone();
    moved.paths[&path_key(&frontend, &one)].address = [10, 0, 0, 99].into();
    assert_eq!(condition(&frontend, &moved), BackendCondition::PathUnknown, "the path of an earlier address");
    let paused = Backend { admin_state: AdminState::Paused, ..(*one).clone() };
    let target = MemberTarget::Backend(Arc::new(paused));
    assert_eq!(BackendCondition::of_member(&frontend, &target, &health), BackendCondition::Paused);
}

#[test]
fn standby_pool_takes_over_if_no_required_path_of_the_first_one_works() {
    let (frontend, [one, two, _], mut health) = web(PathMode::Require);
    let weight = Weight::DEFAULT.get();
    assert_eq!(weights(&frontend, &health, Some(weight)), [weight, weight, 0]);
    for backend in [&one, &two] {
        health.paths.insert(path_key(&frontend, backend), path(backend, PathState::Timeout, false));
    }
    assert_eq!(weights(&frontend, &health, Some(weight)), [0, 0, weight]);
}

//! Tests of the owned VIPs.

use std::path::Path;

use super::*;
use maglev_model::vip::Service;

/// The state of an agent that owns one VIP, recorded in `directory`.
fn owner_of_a_vip(directory: &Path) -> (AgentState, VipKey) {
    let socket = directory.join("api.sock");
    let owned_vips = OwnedVips::load_or_empty(&socket);
    let mut state = AgentState::new(
        Events::discard(),
        owned_vips,
        &AgentOptions::new("node-a", &socket),
        watch::Sender::default().subscribe(),
    );
    let key = VipKey { address: "203.0.113.1".parse().unwrap(), service: Service::AllPorts };
    state.owned_vips.claim(key, &Name::namespaced("shop", "web"));
    (state, key)
}

#[test]
fn absent_vip_is_released_at_the_second_pass_that_finds_it_absent() {
    let directory = tempfile::tempdir().unwrap();
    let (mut state, key) = owner_of_a_vip(directory.path());
    let mut owned_after_pass = |absent: bool, unsettled: bool| {
        state.release_owned_vips(|_| !absent, |_| absent, |_| unsettled);
        state.owned_vips().contains_key(&key)
    };
    assert!(owned_after_pass(true, false), "VPP may still execute an addition");
    assert!(owned_after_pass(false, false), "VPP has executed it");
    assert!(owned_after_pass(true, false));
    assert!(owned_after_pass(true, true), "steps are in flight");
    assert!(!owned_after_pass(true, false));
}

#[test]
fn present_vip_that_is_not_kept_is_released_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (mut state, _) = owner_of_a_vip(directory.path());
    state.release_owned_vips(|_| false, |_| false, |_| false);
    assert!(state.owned_vips().is_empty());
}

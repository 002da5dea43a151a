use imbl::OrdMap;

use super::*;
use crate::{
    change::{VipState, VppInfo},
    config::Check,
    health::BackendHealth,
    problem::{Problem, Reason},
    test_objects::{self, backend, health_check, name, pool},
    view::VppView,
};

fn frontend(name_text: &str, pools: &[(&str, &[&Arc<Backend>])]) -> Arc<Frontend> {
    let last = u8::try_from(name_text.len()).unwrap();
    let pools = pools.iter().map(|(name, members)| pool(name, members)).collect();
    test_objects::frontend(name_text, [10, 9, 0, last], pools)
}

fn view(frontends: &[&Arc<Frontend>]) -> View {
    let mut view = View::default();
    for frontend in frontends {
        view.frontends.insert(frontend.name.clone(), Arc::clone(frontend));
        for member in frontend.pools.iter().flat_map(|pool| &pool.members) {
            let MemberTarget::Backend(backend) = &member.target else { continue };
            view.backends.insert(backend.name.clone(), Arc::clone(backend));
        }
    }
    view
}

/// A VPP that has each server at `weight`.
fn connect(view: &mut View, weight: u8) {
    let state = |frontend: &Arc<Frontend>| {
        let servers = view.effective_weights(frontend).ases.keys().map(|address| (*address, weight)).collect();
        (VppVip::from(frontend.vip), VipState { servers, ..VipState::default() })
    };
    let vips: OrdMap<VppVip, VipState> = view.frontends.values().map(state).collect();
    view.vpp = Some(VppView {
        info: Arc::new(VppInfo::default()),
        since: jiff::Timestamp::UNIX_EPOCH,
        conf: None,
        vips,
        weightless: false,
        foreign: imbl::OrdSet::new(),
    });
}

fn admin(backend: &str, state: AdminState) -> OperatorChange {
    OperatorChange::AdminState { backend: name(backend), state }
}

fn weight(frontend: &str, pool: &str, backend: &str, weight: u8) -> OperatorChange {
    let weight = Weight::new(weight).unwrap();
    OperatorChange::Weight { frontend: name(frontend), pool: pool.into(), backend: backend.into(), weight }
}

#[test]
fn frontends_that_lose_their_last_server_are_unserved() {
    let (a, b) = (backend("a", 1), backend("b", 2));
    let (alone, two, spare) = (
        frontend("alone", &[("primary", &[&a])]),
        frontend("two", &[("primary", &[&a, &b])]),
        frontend("spare-pool", &[("primary", &[&a]), ("standby", &[&b])]),
    );
    let view = view(&[&alone, &two, &spare]);
    for state in [AdminState::Paused, AdminState::Disabled] {
        assert_eq!(admin("a", state).unserved_frontends(&view), [name("alone")]);
    }
    assert!(admin("b", AdminState::Disabled).unserved_frontends(&view).is_empty());
    assert!(admin("a", AdminState::Enabled).unserved_frontends(&view).is_empty());
    assert_eq!(weight("alone", "primary", "a", 0).unserved_frontends(&view), [name("alone")]);
    assert!(weight("alone", "primary", "a", 1).unserved_frontends(&view).is_empty());
    assert!(weight("spare-pool", "primary", "a", 0).unserved_frontends(&view).is_empty(), "the next pool takes over");
}

#[test]
fn frontends_without_server_before_the_change_are_not_counted() {
    let off = Arc::new(Backend { admin_state: AdminState::Disabled, ..(*backend("a", 1)).clone() });
    let view = view(&[&frontend("alone", &[("primary", &[&off])])]);
    assert!(admin("a", AdminState::Paused).unserved_frontends(&view).is_empty());
}

#[test]
fn withdrawn_frontends_are_not_counted() {
    let web = frontend("alone", &[("primary", &[&backend("a", 1)])]);
    let standing = Standing::Withdrawn(Problem::new(Reason::Conflicted, "", ""));
    let view = view(&[&Arc::new(Frontend { standing, ..(*web).clone() })]);
    assert!(admin("a", AdminState::Disabled).unserved_frontends(&view).is_empty());
}

#[test]
fn change_is_pending_until_seen_and_in_vpp() {
    let web = frontend("web", &[("primary", &[&backend("a", 1)])]);
    let mut view = view(&[&web]);
    let change = weight("web", "primary", "a", 10);
    assert_eq!(change.pending(&view, 4), Some("the agent has not seen the change yet"));
    assert_eq!(change.pending(&view, 3), Some("the agent is not connected to VPP"));
    connect(&mut view, 7);
    assert_eq!(change.pending(&view, 3), Some("VPP does not have the weights yet"));
    connect(&mut view, 10);
    assert_eq!(change.pending(&view, 3), None);
    assert_eq!(weight("gone", "primary", "a", 10).pending(&view, 1), Some("the agent has not seen the change yet"));
}

#[test]
fn enabled_backend_is_pending_until_probed() {
    let a = Arc::new(Backend { check: Check::Probe(Arc::new(health_check())), ..(*backend("a", 1)).clone() });
    let mut view = view(&[&frontend("web", &[("primary", &[&a])])]);
    let change = admin("a", AdminState::Enabled);
    for (state, pending) in [
        (BackendState::Paused, Some("the health of the backend is not known yet")),
        (BackendState::Unknown, Some("the health of the backend is not known yet")),
        (BackendState::Down, None),
        (BackendState::Up, None),
    ] {
        let health = BackendHealth { address: a.address, state, ever_known: true, in_doubt: false, history: [].into() };
        view.health.backends.insert(name("a"), health);
        connect(&mut view, if state == BackendState::Up { 10 } else { 0 });
        assert_eq!(change.pending(&view, 1), pending, "{state}");
    }
}

#[test]
fn drain_of_a_node_concerns_all_its_addresses() {
    let at = |name_text: &str, last| Arc::new(Backend { name: Name::from(name_text), ..(*backend("x", last)).clone() });
    let (four, six, other) = (at("node:a", 1), at("node:a:ipv6", 2), at("node:b", 3));
    let mut view = view(&[
        &frontend("four", &[("primary", &[&four])]),
        &frontend("sixth", &[("primary", &[&six])]),
        &frontend("shared", &[("primary", &[&four, &other])]),
    ]);
    let drain = |node: &str| OperatorChange::Drain { backend: Name::from(node), drain: None };
    assert_eq!(drain("node:a").unserved_frontends(&view), [name("four"), name("sixth")]);
    assert_eq!(drain("node:a").to_string(), "drain of Node a");

    // Without a generation, the states tell.
    connect(&mut view, 0);
    let pending = |view: &View| drain("node:a").pending(view, 0);
    assert_eq!(pending(&view), Some("the agent has not seen the change yet"));
    for backend in [&four, &six] {
        let paused = Arc::new(Backend { admin_state: AdminState::Paused, ..(**backend).clone() });
        view.backends.insert(paused.name.clone(), Arc::clone(&paused));
        for frontend in view.frontends.clone().values() {
            let mut frontend = (**frontend).clone();
            for member in frontend.pools.iter_mut().flat_map(|pool| &mut pool.members) {
                if member.backend == paused.name {
                    member.target = MemberTarget::Backend(Arc::clone(&paused));
                }
            }
            view.frontends.insert(frontend.name.clone(), Arc::new(frontend));
        }
    }
    // The other Node of the shared Frontend has its weight.
    connect(&mut view, 0);
    assert_eq!(pending(&view), Some("VPP does not have the weights yet"));
    let shared = view.frontends.get(&name("shared")).map(|frontend| VppVip::from(frontend.vip)).unwrap();
    let mut vpp = view.vpp.clone().unwrap();
    let state = VipState { servers: [(four.address, 0), (other.address, 10)].into(), ..VipState::default() };
    vpp.vips.insert(shared, state);
    view.vpp = Some(vpp);
    assert_eq!(pending(&view), None);
    assert_eq!(drain("node:unused").pending(&view, 0), None, "no pool uses the Node");
}

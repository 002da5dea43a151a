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
        (VppVip::from(frontend.vip), VipState { servers: Arc::new(servers), ..VipState::default() })
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

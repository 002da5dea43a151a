use super::*;
use crate::{
    actual::{ActualAs, ActualVip},
    config::{Backend, Check, MemberTarget, OnBackendDown},
    event::ProgramResult,
    fingerprint::Fingerprint,
    health::{BackendHealth, BackendState},
    path::PathState,
    problem::{Problem, Reason},
    ramp::{Ramp, Ramps},
    test_objects::{self, backend, name, pool},
    vip::{Encap, Service, TableLength, Weight},
};

fn address(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

fn frontend(pools: &[&[&Arc<Backend>]]) -> Arc<Frontend> {
    let pools = pools.iter().enumerate().map(|(index, members)| pool(&format!("pool-{index}"), members));
    test_objects::frontend("web", address(1), pools.collect())
}

fn config(frontend: &Arc<Frontend>) -> Change {
    let delta = ConfigDelta { frontends: vec![(name("web"), Some(Arc::clone(frontend)))], ..ConfigDelta::default() };
    Change::Config(Arc::new(delta))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a valid time")
}

fn view(changes: impl IntoIterator<Item = Change>) -> View {
    let mut view = View::default();
    for (second, change) in (1..).zip(changes) {
        view.apply(&change, at(second));
    }
    view
}

fn connected(weight: u8) -> [Change; 2] {
    let frontend = frontend(&[]);
    let ases = [(address(7), ActualAs { weight, buckets: 5 })].into();
    let vip = ActualVip { encap: None, sticky: None, table_length: None, pool_index: Some(1), ases };
    let actual = Actual { vips: [(frontend.vip.into(), vip)].into(), weightless: false };
    let conf = ActualConf {
        ipv4_source: std::net::Ipv4Addr::BROADCAST,
        ipv6_source: std::net::Ipv6Addr::from_bits(u128::MAX),
        sticky_buckets_per_core: 1024,
        flow_timeout: 40,
    };
    [Change::VppConnected(Arc::default()), Change::VppState(conf, Arc::new(actual))]
}

#[test]
fn effective_weights_follow_health_and_kept_weights() {
    let (primary, standby) = (backend("primary", 7), backend("standby", 8));
    let check = Problem::new(Reason::HealthCheckNotFound, "", "");
    let probed = Arc::new(Backend { check: Check::Missing(check), ..(*primary).clone() });
    let web = frontend(&[&[&probed], &[&standby]]);
    let weights = |view: &View| {
        let effective = view.effective_weights(&web);
        let vip = VppVip::from(web.vip);
        let weights =
            effective.ases.iter().map(|(address, server)| server.weight.effective(view.weight_in_vpp(&vip, *address)));
        (effective.active_pool, weights.collect::<Vec<_>>())
    };
    // The health of the first backend is not known, so its pool is active if its weight in VPP is above 0.
    let before = view([config(&web)]);
    assert_eq!(weights(&before), (Some(1), vec![0, 10]));
    let after = view([config(&web)].into_iter().chain(connected(4)));
    assert_eq!(weights(&after), (Some(0), vec![4, 0]));
}

#[test]
fn disconnect_drops_the_state_of_vpp_and_keeps_holds() {
    let held = SyncHold { id: "h".into(), removals: 6, change: None, until: at(99) };
    let mut view = view(connected(4).into_iter().chain([Change::Held(held)]));
    assert_eq!(view.vpp.as_ref().map(|vpp| (vpp.since, vpp.vips.len())), Some((at(1), 1)));
    view.apply(&Change::VppDisconnected, at(9));
    assert_eq!(view.vpp, None);
    // A late change of the session that ended.
    view.apply(&Change::Vip(frontend(&[]).vip.into(), Some(VipState::default())), at(9));
    assert_eq!(view.vpp, None);
    assert_eq!(view.holds.len(), 1, "holds are the agent's own");
    view.apply(&Change::Released("h".into()), at(10));
    assert!(view.holds.is_empty());
}

#[test]
fn changes_add_and_remove_vips_and_servers() {
    let vip = VppVip::from(frontend(&[]).vip);
    let mut view = view(connected(4));
    view.apply(&Change::Server(vip, address(8), Some(10)), at(3));
    view.apply(&Change::Server(vip, address(7), None), at(3));
    view.apply(&Change::Foreign(vip), at(3));
    assert_eq!((view.weight_in_vpp(&vip, address(7)), view.weight_in_vpp(&vip, address(8))), (None, Some(10)));
    view.apply(&Change::Vip(vip, None), at(4));
    let vpp = view.vpp.expect("the session goes on");
    assert!(vpp.vips.is_empty() && vpp.foreign.is_empty());
}

#[test]
fn states_reports_and_health_are_dropped_on_request_only() {
    let report = Report {
        uid: "u".into(),
        generation: 3,
        fingerprint: Fingerprint::new(&frontend(&[])),
        result: ProgramResult::Programmed,
        reason: "".into(),
    };
    let health = BackendHealth {
        address: address(7),
        state: BackendState::Up,
        ever_known: true,
        in_doubt: false,
        history: [].into(),
    };
    let mut view = view([
        Change::Frontend(name("web"), FrontendState::Up, Some(ProbeCode::L7Ok)),
        Change::Report(name("web"), report),
        Change::Health(name("a"), Some(health)),
        Change::Suspect(Family::V6, true),
    ]);
    assert_eq!(view.states[&name("web")].since, at(1));
    assert!(view.health.suspect_v6 && !view.health.suspect_v4);
    view.apply(&Change::Forget(name("web")), at(9));
    view.apply(&Change::Health(name("a"), None), at(9));
    view.apply(&Change::Suspect(Family::V6, false), at(9));
    assert_eq!(view, View::default());
}

#[test]
fn paths_are_found_by_frontend_and_by_backend() {
    let key = |frontend: &str, backend: &str| PathKey { frontend: name(frontend), backend: name(backend) };
    let health =
        PathHealth { address: address(7), state: PathState::Ok, since: at(1), in_doubt: false, detail: "".into() };
    let all = [key("a", "x"), key("web", "x"), key("web", "y"), key("web-2", "x")];
    let mut view = view(all.iter().map(|key| Change::Path(key.clone(), Some(health.clone()))));
    let names = |paths: &mut dyn Iterator<Item = (&PathKey, &PathHealth)>| paths.map(|(key, _)| key.clone()).collect();
    let of_web: Vec<PathKey> = names(&mut view.frontend_paths(&name("web")));
    assert_eq!(of_web, [key("web", "x"), key("web", "y")]);
    let to_x: Vec<PathKey> = names(&mut view.backend_paths(&name("x")));
    assert_eq!(to_x, [key("a", "x"), key("web", "x"), key("web-2", "x")]);
    view.apply(&Change::Path(key("web", "y"), None), at(2));
    assert_eq!(view.frontend_paths(&name("web")).count(), 1);
}

#[test]
fn problems_are_kept_until_there_are_none() {
    let object = (Kind::Frontend, name("web"));
    let change = |problems: Vec<Problem>| {
        let problems = Problems { generation: 3, problems: problems.into() };
        Change::Config(Arc::new(ConfigDelta { problems: vec![(object.clone(), problems)], ..ConfigDelta::default() }))
    };
    let mut view = view([change(vec![Problem::new(Reason::NoBackends, "spec.pools", "no backend resolves")])]);
    assert_eq!(view.object_problems(Kind::Frontend, &name("web")).map(|object| object.problems.len()), Some(1));
    view.apply(&change(Vec::new()), at(2));
    assert_eq!(view.object_problems(Kind::Frontend, &name("web")), None);
}

#[test]
fn fingerprint_covers_every_property_except_revision() {
    let (a, b) = (backend("a", 7), backend("b", 8));
    let web = frontend(&[&[&a], &[&b]]);
    let mut others = vec![frontend(&[&[&a, &b]]), frontend(&[&[&a]]), frontend(&[&[&b], &[&a]])];
    let mut with = |change: fn(&mut Frontend)| {
        let mut other = (*web).clone();
        change(&mut other);
        others.push(Arc::new(other));
    };
    with(|frontend| frontend.encap = Some(Encap::Gre6));
    with(|frontend| frontend.encap = None);
    with(|frontend| frontend.sticky = true);
    with(|frontend| frontend.on_backend_down = OnBackendDown::Keep);
    with(|frontend| frontend.table_length = TableLength::new(1024).expect("a power of two"));
    with(|frontend| frontend.vip.service = Service::AllPorts);
    with(|frontend| frontend.pools[0].members[0].weight = Weight::ZERO);
    with(|frontend| frontend.pools[0].members[0].target = MemberTarget::Unreadable { address: None });
    with(|frontend| frontend.pools[0].name = "other".into());
    let prints: std::collections::HashSet<_> = others.iter().map(|other| Fingerprint::new(other)).collect();
    assert_eq!(prints.len(), others.len());
    assert!(!prints.contains(&Fingerprint::new(&web)));
    let mut revised = (*web).clone();
    revised.revision.generation += 1;
    assert_eq!(Fingerprint::new(&revised).agrees(&Fingerprint::new(&web)), Some(true));
    assert_eq!(Fingerprint::new(&others[0]).agrees(&Fingerprint::new(&web)), Some(false));
    let later = Fingerprint { version: Fingerprint::VERSION + 1, ..Fingerprint::new(&web) };
    assert_eq!(later.agrees(&Fingerprint::new(&web)), None);
}

#[test]
fn ramp_limits_the_effective_weight_until_it_ends() {
    let (one, two) = (backend("one", 7), backend("two", 8));
    let web = frontend(&[&[&one, &two]]);
    let weights = |view: &View| -> Vec<u8> {
        view.effective_weights(&web).ases.values().map(|server| server.weight.effective(None)).collect()
    };
    let ramps = |weight| {
        let ramp = Ramp { weight: Weight::clamped(weight), step: 4, steps: 10, full_at: at(40) };
        Change::Ramps(name("web"), Arc::new([(address(8), ramp)].into()))
    };
    let mut view = view([config(&web), ramps(4)]);
    assert_eq!(weights(&view), [10, 4]);
    view.apply(&ramps(20), at(3));
    assert_eq!(weights(&view), [10, 10], "never more than the weight");
    for end in [Change::Ramps(name("web"), Ramps::default()), Change::Forget(name("web"))] {
        view.apply(&ramps(4), at(4));
        assert_eq!(weights(&view), [10, 4]);
        view.apply(&end, at(5));
        assert!(view.ramps.is_empty() && weights(&view) == [10, 10], "{end:?}");
    }
}

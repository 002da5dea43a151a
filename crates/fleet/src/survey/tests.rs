use std::num::NonZeroU16;

use super::*;
use crate::{AgentTarget, LinkState};
use maglev_model::{
    change::{Problems, RemovalHold, Report, VipState, VppInfo},
    config::{AdminState, Backend, Check, Frontend, Member, MemberTarget, OnBackendDown, Pool, Revision, Standing},
    fingerprint::Fingerprint,
    problem::{Problem, Reason},
    view::{StateSince, View, VppView},
    vip::{Encap, Protocol, Service, TableLength, VipKey, Weight},
};

fn name(name: &str) -> Name {
    Name::namespaced("shop", name)
}

fn backend(backend_name: &str, last: u8, admin_state: AdminState) -> Arc<Backend> {
    let address = [10, 0, 0, last].into();
    Arc::new(Backend {
        name: name(backend_name),
        revision: Revision::default(),
        address,
        admin_state,
        check: Check::None,
    })
}

fn up(name: &str, last: u8) -> Arc<Backend> {
    backend(name, last, AdminState::Enabled)
}

fn off(name: &str, last: u8) -> Arc<Backend> {
    backend(name, last, AdminState::Disabled)
}

fn frontend(pools: &[&[Arc<Backend>]]) -> Frontend {
    let port = NonZeroU16::new(80).unwrap();
    let member = |backend: &Arc<Backend>| Member {
        backend: backend.name.clone(),
        weight: Weight::DEFAULT,
        target: MemberTarget::Backend(Arc::clone(backend)),
    };
    let pool = |(index, members): (usize, &&[Arc<Backend>])| Pool {
        name: ["first", "second"][index].into(),
        members: members.iter().map(member).collect(),
    };
    Frontend {
        name: name("web"),
        revision: Revision::default(),
        vip: VipKey { address: [10, 9, 0, 1].into(), service: Service::Port { protocol: Protocol::Tcp, port } },
        standing: Standing::Serving,
        pools: pools.iter().enumerate().map(pool).collect(),
        encap: Some(Encap::Gre4),
        sticky: false,
        on_backend_down: OnBackendDown::Flush,
        table_length: TableLength::DEFAULT,
    }
}

/// A node on which the Frontend is programmed and has this state.
fn node(name: &str, frontend: &Frontend, state: FrontendState) -> NodeState {
    let mut view = View::default();
    view.frontends.insert(frontend.name.clone(), Arc::new(frontend.clone()));
    let since = StateSince { state, since: Timestamp::UNIX_EPOCH, code: None };
    view.states.insert(frontend.name.clone(), since);
    let report = Report {
        uid: "u".into(),
        generation: 1,
        fingerprint: Fingerprint::new(frontend),
        result: ProgramResult::Programmed,
        reason: "".into(),
    };
    view.reports.insert(frontend.name.clone(), report);
    let vpp = VppView {
        info: Arc::new(VppInfo::default()),
        since: Timestamp::UNIX_EPOCH,
        conf: None,
        vips: [(VppVip::from(frontend.vip), VipState::default())].into_iter().collect(),
        weightless: false,
        foreign: imbl::OrdSet::new(),
    };
    view.vpp = Some(vpp);
    let target = AgentTarget::from(std::net::SocketAddr::from(([127, 0, 0, 1], 9090)));
    let mut node = NodeState::new(name.into(), target);
    node.as_of = Some(crate::AsOf { epoch: 1, seq: 1 });
    NodeState { link: LinkState::Connected, view, ..node }
}

fn survey(nodes: &[NodeState]) -> Survey {
    let disagree = disagreeing(nodes);
    Survey::new(nodes, &SustainedFaults { dropping: &|_, _| false, disagree: &|name| disagree.contains(name) })
}

/// Counts other than zero.
fn counts(nodes: &[NodeState]) -> Vec<(Flag, usize)> {
    let survey = survey(nodes);
    Flag::ALL.into_iter().map(|flag| (flag, survey.count(flag))).filter(|(_, count)| *count > 0).collect()
}

#[test]
fn two_serving_backends_on_every_node_set_no_flag() {
    let web = frontend(&[&[up("a", 1), up("b", 2)]]);
    let nodes = [node("n1", &web, FrontendState::Up), node("n2", &web, FrontendState::Up)];
    let survey = survey(&nodes);
    assert!(survey.is_fine() && counts(&nodes).is_empty());
    let surveyed = &survey.frontends[&name("web")];
    assert_eq!(
        (surveyed.state, surveyed.backends.values().filter(|up| **up).count(), survey.reporting),
        (DisplayState::Up, 2, 2)
    );
}

#[test]
fn worst_state_of_a_node_is_the_state() {
    let (good, bad) = (frontend(&[&[up("a", 1), up("b", 2)]]), frontend(&[&[off("a", 1), off("b", 2)]]));
    let nodes = [node("n1", &good, FrontendState::Up), node("n2", &bad, FrontendState::Down)];
    let survey = survey(&nodes);
    assert_eq!(survey.frontends[&name("web")].state, DisplayState::Down);
    assert!(survey.frontends[&name("web")].backends.values().all(|up| !up), "up means on every node");
    assert_eq!(counts(&nodes), [(Flag::Down, 1), (Flag::Disagree, 1)]);
}

#[test]
fn standby_pool_or_last_backend_sets_the_standby_flag() {
    let standby = frontend(&[&[off("a", 1)], &[up("b", 2), up("c", 3)]]);
    let nodes = [node("n1", &standby, FrontendState::Up)];
    assert_eq!(counts(&nodes), [(Flag::Standby, 1)]);
    assert_eq!(survey(&nodes).frontends[&name("web")].state, DisplayState::Standby);
    let last = frontend(&[&[off("a", 1), up("b", 2)]]);
    assert_eq!(counts(&[node("n1", &last, FrontendState::Up)]), [(Flag::Standby, 1)]);
    let only = frontend(&[&[up("b", 2)]]);
    assert!(counts(&[node("n1", &only, FrontendState::Up)]).is_empty(), "only one backend is configured");
}

#[test]
fn unreachable_node_sets_only_the_silent_flag() {
    let (good, bad) = (frontend(&[&[up("a", 1), up("b", 2)]]), frontend(&[&[off("a", 1), off("b", 2)]]));
    let mut silent = node("n2", &bad, FrontendState::Down);
    silent.link = LinkState::Unreachable { error: "refused".into(), since: Timestamp::UNIX_EPOCH };
    assert_eq!(counts(&[node("n1", &good, FrontendState::Up), silent.clone()]), [(Flag::Silent, 1)]);
    let mut without_vpp = node("n2", &good, FrontendState::Up);
    without_vpp.view.vpp = None;
    assert_eq!(counts(&[without_vpp]), [(Flag::Silent, 1)]);
    let alone = survey(&[silent]);
    assert_eq!((alone.frontends[&name("web")].state, alone.reporting), (DisplayState::Unknown, 0));
}

#[test]
fn rejected_held_and_failed_objects_are_counted_once() {
    let web = frontend(&[&[up("a", 1), up("b", 2)]]);
    let mut nodes = [node("n1", &web, FrontendState::Up), node("n2", &web, FrontendState::Up)];
    for node in &mut nodes {
        let problems = Problems { generation: 1, problems: [Problem::new(Reason::BackendNotFound, "", "")].into() };
        node.view.problems.insert((Kind::Frontend, name("web")), problems);
    }
    assert_eq!(counts(&nodes), [(Flag::Rejected, 1)]);
    let hold = RemovalHold { id: "h".into(), removals: 6, until: Timestamp::UNIX_EPOCH };
    nodes[0].view.holds.insert("h".into(), hold);
    assert_eq!(counts(&nodes), [(Flag::Rejected, 2)]);
    nodes[1].view.reports.get_mut(&name("web")).unwrap().result = ProgramResult::Failed;
    nodes[1].view.sync.failed_steps = 3;
    assert_eq!(counts(&nodes), [(Flag::Sync, 2), (Flag::Rejected, 2)]);
}

#[test]
fn dropping_flag_comes_from_the_caller() {
    let web = frontend(&[&[up("a", 1), up("b", 2)]]);
    let nodes = [node("n1", &web, FrontendState::Up), node("n2", &web, FrontendState::Up)];
    let dropping = |node: &str, vip: &VppVip| node == "n2" && vip.port == 80;
    let survey = Survey::new(&nodes, &SustainedFaults { dropping: &dropping, disagree: &|_| false });
    assert_eq!(survey.count(Flag::Dropping), 1);
}

use std::num::NonZeroU16;

use super::*;
use crate::{Link, Target as AgentTarget};
use maglev_model::{
    change::{Hold, Problems, Report, VipState, VppInfo},
    config::{AdminState, Backend, Check, Frontend, Member, OnBackendDown, Pool, Revision, Standing, Target},
    fingerprint::Fingerprint,
    problem::{Problem, Reason},
    view::{StateSince, View, VppView},
    vip::{Encap, Protocol, Service, TableLength, VipKey, Weight},
};

fn name(name: &str) -> Name {
    Name::namespaced("shop", name)
}

fn backend(of: &str, last: u8, admin_state: AdminState) -> Arc<Backend> {
    let address = [10, 0, 0, last].into();
    Arc::new(Backend { name: name(of), revision: Revision::default(), address, admin_state, check: Check::None })
}

fn up(of: &str, last: u8) -> Arc<Backend> {
    backend(of, last, AdminState::Enabled)
}

fn off(of: &str, last: u8) -> Arc<Backend> {
    backend(of, last, AdminState::Disabled)
}

fn frontend(pools: &[&[Arc<Backend>]]) -> Frontend {
    let port = NonZeroU16::new(80).unwrap();
    let member = |backend: &Arc<Backend>| Member {
        backend: backend.name.clone(),
        weight: Weight::DEFAULT,
        target: Target::Backend(Arc::clone(backend)),
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

/// A node that has this Frontend, in this state, programmed.
fn node(name: &str, of: &Frontend, state: FrontendState) -> NodeState {
    let mut view = View::default();
    view.frontends.insert(of.name.clone(), Arc::new(of.clone()));
    let since = StateSince { state, since: Timestamp::UNIX_EPOCH, code: None };
    view.states.insert(of.name.clone(), since);
    let report = Report {
        uid: "u".into(),
        generation: 1,
        fingerprint: Fingerprint::of(of),
        result: ProgramResult::Programmed,
        reason: "".into(),
    };
    view.reports.insert(of.name.clone(), report);
    let vpp = VppView {
        info: Arc::new(VppInfo::default()),
        since: Timestamp::UNIX_EPOCH,
        conf: None,
        vips: [(VppVip::from(of.vip), VipState::default())].into_iter().collect(),
        weightless: false,
        foreign: imbl::OrdSet::new(),
    };
    view.vpp = Some(vpp);
    let target = AgentTarget::from(std::net::SocketAddr::from(([127, 0, 0, 1], 9090)));
    let mut node = NodeState::new(name.into(), target);
    node.as_of = Some(crate::AsOf { epoch: 1, seq: 1 });
    NodeState { link: Link::Connected, view, ..node }
}

fn survey(nodes: &[NodeState]) -> Survey {
    let disagree = disagreeing(nodes);
    Survey::new(nodes, &Lasting { dropping: &|_, _| false, disagree: &|name| disagree.contains(name) })
}

/// What is not zero.
fn counts(nodes: &[NodeState]) -> Vec<(Flag, usize)> {
    let survey = survey(nodes);
    Flag::ALL.into_iter().map(|flag| (flag, survey.count(flag))).filter(|(_, count)| *count > 0).collect()
}

#[test]
fn nothing_is_wrong_where_two_backends_serve_on_every_node() {
    let of = frontend(&[&[up("a", 1), up("b", 2)]]);
    let nodes = [node("n1", &of, FrontendState::Up), node("n2", &of, FrontendState::Up)];
    let survey = survey(&nodes);
    assert!(survey.is_fine() && counts(&nodes).is_empty());
    let web = &survey.frontends[&name("web")];
    assert_eq!((web.state, web.backends.values().filter(|up| **up).count(), survey.reporting), (Word::Up, 2, 2));
}

#[test]
fn the_worst_that_a_node_says_is_the_state() {
    let (good, bad) = (frontend(&[&[up("a", 1), up("b", 2)]]), frontend(&[&[off("a", 1), off("b", 2)]]));
    let nodes = [node("n1", &good, FrontendState::Up), node("n2", &bad, FrontendState::Down)];
    let survey = survey(&nodes);
    assert_eq!(survey.frontends[&name("web")].state, Word::Down);
    assert!(survey.frontends[&name("web")].backends.values().all(|up| !up), "up means on every node");
    assert_eq!(counts(&nodes), [(Flag::Down, 1), (Flag::Disagree, 1)]);
}

#[test]
fn another_pool_or_the_last_backend_is_told() {
    let standby = frontend(&[&[off("a", 1)], &[up("b", 2), up("c", 3)]]);
    let nodes = [node("n1", &standby, FrontendState::Up)];
    assert_eq!(counts(&nodes), [(Flag::Standby, 1)]);
    assert_eq!(survey(&nodes).frontends[&name("web")].state, Word::Standby);
    let last = frontend(&[&[off("a", 1), up("b", 2)]]);
    assert_eq!(counts(&[node("n1", &last, FrontendState::Up)]), [(Flag::Standby, 1)]);
    let only = frontend(&[&[up("b", 2)]]);
    assert!(counts(&[node("n1", &only, FrontendState::Up)]).is_empty(), "nobody meant more than one");
}

#[test]
fn a_node_that_is_silent_counts_for_nothing_else() {
    let (good, bad) = (frontend(&[&[up("a", 1), up("b", 2)]]), frontend(&[&[off("a", 1), off("b", 2)]]));
    let mut silent = node("n2", &bad, FrontendState::Down);
    silent.link = Link::Unreachable { error: "gone".into(), since: Timestamp::UNIX_EPOCH };
    assert_eq!(counts(&[node("n1", &good, FrontendState::Up), silent.clone()]), [(Flag::Silent, 1)]);
    let mut without_vpp = node("n2", &good, FrontendState::Up);
    without_vpp.view.vpp = None;
    assert_eq!(counts(&[without_vpp]), [(Flag::Silent, 1)]);
    let alone = survey(&[silent]);
    assert_eq!((alone.frontends[&name("web")].state, alone.reporting), (Word::Unknown, 0));
}

#[test]
fn what_is_rejected_held_or_failed_is_counted_once_over_all_nodes() {
    let of = frontend(&[&[up("a", 1), up("b", 2)]]);
    let mut nodes = [node("n1", &of, FrontendState::Up), node("n2", &of, FrontendState::Up)];
    for node in &mut nodes {
        let problems = Problems { generation: 1, problems: [Problem::new(Reason::BackendNotFound, "", "")].into() };
        node.view.problems.insert((Kind::Frontend, name("web")), problems);
    }
    assert_eq!(counts(&nodes), [(Flag::Rejected, 1)]);
    let hold = Hold { id: "h".into(), removals: 6, until: Timestamp::UNIX_EPOCH };
    nodes[0].view.holds.insert("h".into(), hold);
    assert_eq!(counts(&nodes), [(Flag::Rejected, 2)]);
    nodes[1].view.reports.get_mut(&name("web")).unwrap().result = ProgramResult::Failed;
    nodes[1].view.sync.failed_steps = 3;
    assert_eq!(counts(&nodes), [(Flag::Sync, 2), (Flag::Rejected, 2)]);
}

#[test]
fn packets_that_are_dropped_are_the_callers_to_know() {
    let of = frontend(&[&[up("a", 1), up("b", 2)]]);
    let nodes = [node("n1", &of, FrontendState::Up), node("n2", &of, FrontendState::Up)];
    let dropping = |node: &str, vip: &VppVip| node == "n2" && vip.port == 80;
    let survey = Survey::new(&nodes, &Lasting { dropping: &dropping, disagree: &|_| false });
    assert_eq!(survey.count(Flag::Dropping), 1);
}

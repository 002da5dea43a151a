use std::net::IpAddr;

use super::*;
use crate::{AgentTarget, CountersRead, LinkState};
use maglev_model::{
    change::{Problems, Report, SyncHold, VipState, VppInfo},
    config::{AdminState, Backend, Check, Frontend, MemberTarget, Pool, Standing},
    counters::{Counters, StatsSnapshot},
    fingerprint::Fingerprint,
    health::{BackendHealth, Transition},
    problem::{Problem, Reason},
    view::{StateSince, View, VppView},
};
use maglev_testkit::objects::{self, health_check, member, name, vip};

fn backend(backend_name: &str, last: u8, admin_state: AdminState) -> Arc<Backend> {
    let backend = objects::backend(&format!("shop/{backend_name}"), &format!("10.0.0.{last}"));
    Arc::new(Backend { admin_state, check: Check::None, ..backend })
}

fn up(name: &str, last: u8) -> Arc<Backend> {
    backend(name, last, AdminState::Enabled)
}

fn off(name: &str, last: u8) -> Arc<Backend> {
    backend(name, last, AdminState::Disabled)
}

fn frontend(pools: &[&[Arc<Backend>]]) -> Frontend {
    let pool = |(index, members): (usize, &&[Arc<Backend>])| Pool {
        name: ["first", "second"][index].into(),
        members: members.iter().cloned().map(member).collect(),
    };
    objects::frontend("shop/web", vip("10.9.0.1"), pools.iter().enumerate().map(pool).collect())
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
    assert!(StatusCounts::from(&survey).is_fine() && counts(&nodes).is_empty());
    let surveyed = &survey.frontends[&name("shop/web")];
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
    assert_eq!(survey.frontends[&name("shop/web")].state, DisplayState::Down);
    assert!(survey.frontends[&name("shop/web")].backends.values().all(|up| !up), "up means on every node");
    assert_eq!(counts(&nodes), [(Flag::Down, 1), (Flag::Disagree, 1)]);
}

#[test]
fn standby_pool_or_last_backend_sets_the_standby_flag() {
    let standby = frontend(&[&[off("a", 1)], &[up("b", 2), up("c", 3)]]);
    let nodes = [node("n1", &standby, FrontendState::Up)];
    assert_eq!(counts(&nodes), [(Flag::Standby, 1)]);
    let surveyed = &survey(&nodes).frontends[&name("shop/web")];
    assert_eq!((surveyed.state, surveyed.on_standby), (DisplayState::Standby, true));
    let last = frontend(&[&[off("a", 1), up("b", 2)]]);
    assert!(!survey(&[node("n1", &last, FrontendState::Up)]).frontends[&name("shop/web")].on_standby);
    assert_eq!(counts(&[node("n1", &last, FrontendState::Up)]), [(Flag::Standby, 1)]);
    let only = frontend(&[&[up("b", 2)]]);
    assert!(counts(&[node("n1", &only, FrontendState::Up)]).is_empty(), "only one backend is configured");
}

#[test]
fn servers_in_vpp_that_no_pool_names_are_unclaimed() {
    let mut web = frontend(&[&[up("a", 1), up("b", 2)]]);
    let with_servers = |web: &Frontend| {
        let mut node = node("n1", web, FrontendState::Up);
        let servers = [1, 2, 9].map(|last| (IpAddr::from([10, 0, 0, last]), 10));
        let vip = VipState { servers: servers.into(), ..VipState::default() };
        node.view.vpp.as_mut().unwrap().vips.insert(web.vip.into(), vip);
        survey(&[node]).frontends[&name("shop/web")].nodes["n1"].unclaimed_servers.clone()
    };
    assert_eq!(with_servers(&web), [IpAddr::from([10, 0, 0, 9])]);
    web.standing = Standing::Withdrawn(Problem::new(Reason::Conflicted, "", ""));
    assert_eq!(with_servers(&web), Vec::<IpAddr>::new(), "the VIP belongs to another Frontend");
}

/// Sets a backend with a check to down on `node`.
fn set_down(node: &mut NodeState, backend: &Arc<Backend>, code: ProbeCode) {
    let backend = Backend { check: Check::Probe(Arc::new(health_check("shop/ping"))), ..(**backend).clone() };
    let at = Timestamp::UNIX_EPOCH;
    let transition = Transition { from: BackendState::Up, to: BackendState::Down, at, code: Some(code) };
    let (address, state, history) = (backend.address, BackendState::Down, Arc::from([transition]));
    let health = BackendHealth { address, state, ever_known: true, in_doubt: false, history };
    node.view.health.backends.insert(backend.name.clone(), health);
    let backend = Arc::new(backend);
    for (name, frontend) in node.view.frontends.clone() {
        let mut frontend = (*frontend).clone();
        let members = frontend.pools.iter_mut().flat_map(|pool| &mut pool.members);
        members.filter(|member| member.backend == backend.name).for_each(|member| {
            member.target = MemberTarget::Backend(Arc::clone(&backend));
        });
        node.view.frontends.insert(name, Arc::new(frontend));
    }
    node.view.backends.insert(backend.name.clone(), backend);
}

#[test]
fn backends_that_are_down_are_counted_once_and_named() {
    let members = [up("web-1", 1), up("web-2", 2), up("web-3", 3), up("web-4", 4)];
    let web = frontend(&[&members]);
    let mut nodes = [node("n1", &web, FrontendState::Up), node("n2", &web, FrontendState::Up)];
    for node in &mut nodes {
        node.view.backends.extend(members.iter().map(|backend| (backend.name.clone(), Arc::clone(backend))));
    }
    let sentence = |nodes: &[NodeState]| StatusCounts::from(&survey(nodes)).healthy_sentence();
    assert_eq!(sentence(&nodes).as_deref(), Some("Everything is up: 1 VIP, 4 backends on 2 nodes"));

    for node in &mut nodes {
        set_down(node, &members[1], ProbeCode::L7Timeout);
        set_down(node, &members[0], ProbeCode::L7Status);
    }
    let survey = survey(&nodes);
    assert_eq!(counts(&nodes), [(Flag::BackendsDown, 2)], "each backend counts once");
    let status = StatusCounts::from(&survey);
    assert!(status.is_fine(), "the VIP is served by its first pool");
    assert_eq!((status.healthy_sentence(), status.backends, status.backends_up), (None, 4, 2));
    let web = &survey.frontends[&name("shop/web")];
    assert_eq!(list_down(&web.down), "web-1 L7STS, web-2 L7TOUT");
    assert!(web.flags.contains(&Flag::BackendsDown) && web.state == DisplayState::Up);
}

#[test]
fn long_list_of_backends_that_are_down_is_shortened() {
    let down = (0..7).map(|n| (name(&format!("shop/web-{n}")), DownBackend::default())).collect();
    assert_eq!(list_down(&down), "web-0 down, web-1 down, web-2 down, web-3 down, web-4 down and 2 more");
}

#[test]
fn healthy_sentence_is_true() {
    let counts =
        StatusCounts { vips: 1, backends: 6, backends_up: 6, nodes: 2, reporting: 2, ..StatusCounts::default() };
    let sentence = |counts: StatusCounts| counts.healthy_sentence().unwrap_or_default();
    assert_eq!(sentence(counts), "Everything is up: 1 VIP, 6 backends on 2 nodes");
    // A backend that a user has disabled is not a problem.
    let disabled = StatusCounts { backends_up: 5, ..counts };
    assert_eq!(sentence(disabled), "No problems: 1 VIP, 5 of 6 backends up, on 2 nodes");
    let empty = StatusCounts { nodes: 1, reporting: 1, ..StatusCounts::default() };
    assert_eq!(sentence(empty), "No Frontends yet on 1 node");
    assert_eq!(sentence(StatusCounts { reporting: 1, ..counts }), "", "a node does not report");
    assert_eq!(sentence(StatusCounts::default()), "", "there is no node");
    for flag in Flag::ALL {
        let counts = counts.with_problems(|counted| usize::from(counted == flag));
        assert_eq!(sentence(counts), "", "{flag:?}");
        assert_eq!(counts.is_fine(), flag == Flag::BackendsDown);
    }
}

#[test]
fn unreachable_node_sets_only_the_silent_flag() {
    let (good, bad) = (frontend(&[&[up("a", 1), up("b", 2)]]), frontend(&[&[off("a", 1), off("b", 2)]]));
    let mut silent = node("n2", &bad, FrontendState::Down);
    silent.link = LinkState::Unreachable { error: "refused".into(), reason: "NoAnswer", since: Timestamp::UNIX_EPOCH };
    assert_eq!(counts(&[node("n1", &good, FrontendState::Up), silent.clone()]), [(Flag::Silent, 1)]);
    let mut without_vpp = node("n2", &good, FrontendState::Up);
    without_vpp.view.vpp = None;
    assert_eq!(counts(&[without_vpp]), [(Flag::Silent, 1)]);
    let alone = survey(&[silent]);
    assert_eq!((alone.frontends[&name("shop/web")].state, alone.reporting), (DisplayState::Unknown, 0));
}

#[test]
fn rejected_held_and_failed_objects_are_counted_once() {
    let web = frontend(&[&[up("a", 1), up("b", 2)]]);
    let mut nodes = [node("n1", &web, FrontendState::Up), node("n2", &web, FrontendState::Up)];
    for node in &mut nodes {
        let problems = Problems { generation: 1, problems: [Problem::new(Reason::BackendNotFound, "", "")].into() };
        node.view.problems.insert((Kind::Frontend, name("shop/web")), problems);
    }
    assert_eq!(counts(&nodes), [(Flag::Rejected, 1)]);
    let hold = SyncHold { id: "h".into(), removals: 6, change: None, until: Timestamp::UNIX_EPOCH };
    nodes[0].view.holds.insert("h".into(), hold);
    assert_eq!(counts(&nodes), [(Flag::Rejected, 2)]);
    nodes[1].view.reports.get_mut(&name("shop/web")).unwrap().result = ProgramResult::Failed;
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

#[test]
fn fullest_sticky_table_of_a_node_is_reported_once_a_quarter_is_used() {
    let web = frontend(&[&[up("a", 1), up("b", 2)]]);
    let with_tables = |node_name: &str, entries: &[u64]| {
        let tables = (1..).zip(entries).map(|(thread, &entries)| StickyTable { thread, entries, capacity: 4096 });
        let counters = Counters { sticky_tables: tables.collect(), ..Counters::default() };
        let stats = Arc::new(StatsSnapshot { counters: Some(counters), ..StatsSnapshot::default() });
        let read = CountersRead { at: Timestamp::UNIX_EPOCH, stats };
        NodeState { counters: Some(Arc::new(read)), ..node(node_name, &web, FrontendState::Up) }
    };
    let mut silent = with_tables("n4", &[4096]);
    silent.link = LinkState::Unreachable { error: "refused".into(), reason: "NoAnswer", since: Timestamp::UNIX_EPOCH };
    let nodes = [with_tables("n1", &[1023, 0]), with_tables("n2", &[1024, 3000]), node("n3", &web, FrontendState::Up)];
    let surveyed = survey(&nodes);
    let table = StickyTable { thread: 2, entries: 3000, capacity: 4096 };
    assert_eq!(surveyed.filling_tables, [("n2".into(), table)].into());
    assert!(StatusCounts::from(&surveyed).is_fine() && counts(&nodes).is_empty(), "it is advice, not a problem");
    let advice = sticky_table_advice("n2", &table);
    assert!(advice.contains("node n2 is 73 % full (thread 2: 3000 of 4096 flows)"), "{advice}");
    assert!(survey(&[silent]).filling_tables.is_empty());
}

/// A node on which VPP has these weights for the servers of the Frontend.
fn node_with_table(name: &str, frontend: &Frontend, weights: [u8; 2]) -> NodeState {
    let mut node = node(name, frontend, FrontendState::Up);
    let servers = weights.into_iter().zip(1..).map(|(weight, last)| (IpAddr::from([10, 0, 0, last]), weight));
    let state = VipState { table_length: Some(1024), servers: servers.collect(), ..VipState::default() };
    node.view.vpp.as_mut().unwrap().vips.insert(frontend.vip.into(), state);
    node
}

#[test]
fn tables_in_vpp_that_differ_are_a_disagreement_with_share_and_nodes() {
    let web = frontend(&[&[up("a", 1), up("b", 2)]]);
    let with = |name: &str, weights| node_with_table(name, &web, weights);
    let equal = [with("n1", [10, 10]), with("n2", [10, 10])];
    assert!(counts(&equal).is_empty() && survey(&equal).frontends[&name("shop/web")].tables.is_none());

    let two = [with("n1", [10, 10]), with("n2", [40, 10])];
    assert_eq!(counts(&two), [(Flag::Disagree, 1)], "all nodes desire the same weights");
    let tables = survey(&two).frontends[&name("shop/web")].tables.clone().unwrap();
    assert!((10.0..60.0).contains(&tables.percent), "{tables:?}");
    assert_eq!(tables.to_string(), format!("{:.1} % of buckets differ between n1, n2", tables.percent));

    let three = [with("n1", [10, 10]), with("n2", [40, 10]), with("n3", [10, 10])];
    let tables = survey(&three).frontends[&name("shop/web")].tables.clone().unwrap();
    assert!(tables.to_string().ends_with(" % of buckets differ on n2"), "{tables}");

    let drained = [with("n1", [0, 0]), with("n2", [10, 10])];
    assert_eq!(survey(&drained).frontends[&name("shop/web")].tables.as_ref().unwrap().percent, 100.0);
}

#[test]
fn table_that_is_not_known_is_not_compared() {
    let web = frontend(&[&[up("a", 1), up("b", 2)]]);
    let mut nodes = [node_with_table("n1", &web, [10, 10]), node_with_table("n2", &web, [40, 10])];
    let vips = |node: &mut NodeState| node.view.vpp.as_mut().unwrap().vips.clone();
    let with_vips = |node: &mut NodeState, vips| node.view.vpp.as_mut().unwrap().vips = vips;
    let known = vips(&mut nodes[1]);
    with_vips(
        &mut nodes[1],
        known.iter().map(|(vip, state)| (*vip, VipState { table_length: None, ..state.clone() })).collect(),
    );
    assert!(counts(&nodes).is_empty(), "VPP did not report the length");
    with_vips(&mut nodes[1], imbl::OrdMap::new());
    assert!(counts(&nodes).is_empty(), "VPP does not have the VIP");
    with_vips(&mut nodes[1], known);
    assert_eq!(counts(&nodes), [(Flag::Disagree, 1)]);
    let silent = LinkState::Unreachable { error: "refused".into(), reason: "NoAnswer", since: Timestamp::UNIX_EPOCH };
    nodes[1].link = silent;
    assert_eq!(counts(&nodes), [(Flag::Silent, 1)], "unknown is not a difference");
}

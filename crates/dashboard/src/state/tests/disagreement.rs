//! Nodes whose tables of one VIP differ: in the strip and in the row once the difference has lasted.

use super::*;
use maglev_model::{
    actual::VppVip,
    change::{Change, ConfigDelta, VipState, VppInfo},
    event::FrontendState,
};
use maglev_testkit::objects::{backend, frontend, ip, name, pool, vip};

/// A connected node whose VPP has the VIP of shop/web with these weights.
fn node(node_name: &str, weights: [u8; 2]) -> NodeState {
    let mut state = Node::new(node_name, 0).state;
    let backends = [backend("shop/one", "192.0.2.1"), backend("shop/two", "192.0.2.2")];
    let web = frontend("shop/web", vip("203.0.113.1"), vec![pool("primary", &[&backends[0], &backends[1]])]);
    let delta = ConfigDelta { frontends: vec![(name("shop/web"), Some(Arc::new(web)))], ..ConfigDelta::default() };
    apply(&mut state, &Change::Config(Arc::new(delta)));
    apply(&mut state, &Change::Frontend(name("shop/web"), FrontendState::Up, None));
    apply(&mut state, &Change::VppConnected(Arc::new(VppInfo::default())));
    let servers = weights.into_iter().zip(["192.0.2.1", "192.0.2.2"]).map(|(weight, address)| (ip(address), weight));
    let in_vpp = VipState { table_length: Some(1024), servers: servers.collect(), ..VipState::default() };
    apply(&mut state, &Change::Vip(VppVip::from(vip("203.0.113.1")), Some(in_vpp)));
    state
}

fn apply(state: &mut NodeState, change: &Change) {
    let seq = state.as_of.map_or(1, |as_of| as_of.seq + 1);
    (state.link, state.as_of) = (LinkState::Connected, Some(AsOf { epoch: 7, seq }));
    state.view.apply(change, Timestamp::UNIX_EPOCH);
}

/// Another client changes the weight of the first server.
fn set_weight(state: &mut NodeState, weight: u8) {
    apply(state, &Change::Server(vip("203.0.113.1").into(), ip("192.0.2.1"), Some(weight)));
}

fn summary(state: &DashboardState) -> Value {
    folded(&state.snapshot().summary(NOW))
}

#[test]
fn tables_that_differ_for_more_than_10_s_are_counted_with_their_share() {
    let (mut state, start) = (state(), Instant::now());
    let mut nodes = ["node-a", "node-b", "node-c"].map(|node_name| node(node_name, [10, 10]));
    nodes.iter().for_each(|node| state.set_node(node.clone()));
    state.flush(after(start, Duration::ZERO));
    assert_eq!(state.due(), None, "all nodes have the same table");

    set_weight(&mut nodes[1], 30);
    state.set_node(nodes[1].clone());
    state.flush(after(start, Duration::from_secs(5)));
    assert_eq!(state.due(), Some(start + Duration::from_secs(15)));
    // A change of something else on the way.
    set_weight(&mut nodes[1], 40);
    state.set_node(nodes[1].clone());
    state.flush(after(start, Duration::from_millis(14_999)));
    assert_eq!((&summary(&state)["strip"]["disagree"], summary(&state).get("differing_percent")), (&json!(0), None));

    state.flush(after(start, Duration::from_secs(15)));
    let shown = summary(&state);
    let row = &shown["rows"]["shop/web"];
    let percent = row["disagreement"]["percent"].as_f64().expect("a share");
    assert!((10.0..60.0).contains(&percent), "{row}");
    let disagreement = json!({
        "since": "1970-01-01T00:00:05.000Z", "percent": percent, "nodes": ["node-b"], "majority": true,
    });
    assert_eq!(row["disagreement"], disagreement);
    assert_eq!(row["reason"], format!("nodes disagree: {percent:.1} % of buckets differ on node-b"));
    assert_eq!((&shown["strip"]["disagree"], &shown["differing_percent"]), (&json!(1), &json!(percent)));
    assert_eq!(state.due(), None);

    set_weight(&mut nodes[1], 10);
    state.set_node(nodes[1].clone());
    state.flush(after(start, Duration::from_secs(16)));
    let shown = summary(&state);
    assert_eq!((&shown["strip"]["disagree"], shown.get("differing_percent")), (&json!(0), None));
    assert_eq!(shown["rows"]["shop/web"].get("disagreement"), None);
}

#[test]
fn change_that_reaches_all_nodes_in_time_is_never_shown() {
    let (mut state, start) = (state(), Instant::now());
    let mut nodes = ["node-a", "node-b"].map(|node_name| node(node_name, [10, 10]));
    nodes.iter().for_each(|node| state.set_node(node.clone()));
    for second in 0..60_u8 {
        // Each change takes 9 s to reach the second node.
        let (index, weight) = if second % 20 < 9 { (0, 20 + second / 20) } else { (1, 20 + second / 20) };
        set_weight(&mut nodes[index], weight);
        state.set_node(nodes[index].clone());
        state.flush(after(start, Duration::from_secs(second.into())));
        assert_eq!(summary(&state)["strip"]["disagree"], 0, "second {second}");
    }
}

#[test]
fn silent_node_and_node_without_vpp_do_not_disagree() {
    let (mut state, start) = (state(), Instant::now());
    let mut nodes = [node("node-a", [10, 10]), node("node-b", [10, 40])];
    nodes.iter().for_each(|node| state.set_node(node.clone()));
    state.flush(after(start, Duration::ZERO));
    state.flush(after(start, DISAGREE_AFTER));
    let shown = summary(&state);
    let nodes_of_row = &shown["rows"]["shop/web"]["disagreement"]["nodes"];
    assert_eq!((&shown["strip"]["disagree"], nodes_of_row), (&json!(1), &json!(["node-a", "node-b"])));

    nodes[1].link = LinkState::Unreachable { error: "x".into(), reason: "NoAnswer", since: Timestamp::UNIX_EPOCH };
    state.set_node(nodes[1].clone());
    state.flush(after(start, DISAGREE_AFTER));
    assert_eq!(summary(&state)["strip"]["disagree"], 0);

    nodes[1].link = LinkState::Connected;
    apply(&mut nodes[1], &Change::VppDisconnected);
    state.set_node(nodes[1].clone());
    state.flush(after(start, DISAGREE_AFTER));
    state.flush(after(start, 3 * DISAGREE_AFTER));
    assert_eq!(summary(&state)["strip"]["disagree"], 0);
}

//! A backend that many VIPs use: its transitions are planned and sent in slices, and every
//! Frontend's state is told once, also where its VIP cannot be planned just then.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use maglev_model::{
    Name,
    config::{Backend, Config, NodeConfig, SyncConf},
    event::{Event, FrontendState, Scope},
    health::BackendState::{Down, Up},
    vip::VipKey,
};
use maglev_vpp_simulator::{Mark, Write};
use tokio::task::yield_now;

use super::fixture::{Node, backend, config, frontend, name, node, pool, vip};

const VIPS: u8 = 200;

fn key(n: u8) -> VipKey {
    vip(&format!("203.0.113.{n}"))
}

fn shared() -> Backend {
    backend("shared", "192.0.2.1")
}

/// VIPs whose only backend is the shared one.
fn many(node: NodeConfig) -> Config {
    config((1..=VIPS).map(|n| frontend(&format!("f{n}"), key(n), vec![pool("primary", &[&shared()])])), node)
}

async fn following() -> Node {
    let node = Node::following(many(node())).await;
    node.until_programmed().await;
    node.until_ready().await;
    node.clear_log();
    node
}

fn is_everywhere(node: &Node, weight: u8) -> bool {
    (1..=VIPS).all(|n| node.weights(key(n)) == BTreeMap::from([(shared().address, weight)]))
}

type States = Vec<(FrontendState, FrontendState)>;

/// What was told of each Frontend's state, in order.
fn told(node: &Node) -> BTreeMap<Name, States> {
    let mut told: BTreeMap<Name, States> = BTreeMap::new();
    for event in node.told() {
        if let Event::FrontendTransition { name, from, to, .. } = event {
            told.entry(name).or_default().push((from, to));
        }
    }
    told
}

/// Waits until exactly this was told of every Frontend.
async fn until_told(node: &Node, states: &[(FrontendState, FrontendState)]) {
    let all = (1..=VIPS).map(|n| (name(&format!("f{n}")), states.to_vec())).collect::<BTreeMap<_, _>>();
    node.until("the states are told", |node| told(node) == all).await;
}

const FELL: (FrontendState, FrontendState) = (FrontendState::Up, FrontendState::Down);
const ROSE: (FrontendState, FrontendState) = (FrontendState::Down, FrontendState::Up);

/// The weights that VPP was asked to set for each VIP, and whether with a flush.
fn set(node: &Node, mark: Mark) -> BTreeMap<IpAddr, Vec<(u8, bool)>> {
    let mut set: BTreeMap<IpAddr, Vec<(u8, bool)>> = BTreeMap::new();
    for written in node.simulator.writes_since(mark) {
        match written.write {
            Write::SetWeight { vip, weight, flush, .. } => set.entry(vip.address).or_default().push((weight, flush)),
            other => panic!("{other:?}"),
        }
    }
    set
}

fn everywhere(weights: &[(u8, bool)]) -> BTreeMap<IpAddr, Vec<(u8, bool)>> {
    (1..=VIPS).map(|n| (key(n).address, weights.to_vec())).collect()
}

/// Plans that were begun for single addresses.
fn plans(node: &Node) -> usize {
    let is_plan = |event: &&Event| matches!(event, Event::SyncStart { scope: Scope::Address(_) });
    node.told().iter().filter(is_plan).count()
}

#[tokio::test]
async fn the_first_requests_are_at_vpp_before_the_last_plans_are_made() {
    let node = following().await;
    let mark = node.simulator.mark();
    node.set_state(&shared(), Down);
    // One thread: each look comes after a turn of the agent, or after a few.
    let mut looks = vec![0];
    let mut when_the_first_was_there = None;
    while plans(&node) < usize::from(VIPS) {
        yield_now().await;
        looks.push(plans(&node));
        if when_the_first_was_there.is_none() && !node.simulator.writes_since(mark).is_empty() {
            when_the_first_was_there = looks.last().copied();
        }
    }
    let largest = looks.windows(2).map(|looks| looks[1] - looks[0]).max().unwrap();
    assert!(largest <= usize::from(VIPS) / 2, "{largest} plans without a look: {looks:?}");
    let begun = when_the_first_was_there.expect("requests are sent meanwhile");
    assert!(begun <= usize::from(VIPS) / 2, "the first came after {begun} plans: {looks:?}");
    node.until("all follow", |node| is_everywhere(node, 0)).await;
    assert_eq!(set(&node, mark), everywhere(&[(0, true)]));
}

#[tokio::test]
async fn every_vip_follows_and_every_state_is_told_once() {
    let node = following().await;
    let mark = node.simulator.mark();
    node.set_state(&shared(), Down);
    node.until("all follow", |node| is_everywhere(node, 0)).await;
    until_told(&node, &[FELL]).await;
    node.set_state(&shared(), Up);
    node.until("all follow", |node| is_everywhere(node, 10)).await;
    until_told(&node, &[FELL, ROSE]).await;
    node.sync_now(None).await.unwrap();
    node.until("a pass went by", |node| node.log().iter().any(|line| line.starts_with("vpp-lb-sync-done scope=all")))
        .await;
    until_told(&node, &[FELL, ROSE]).await;
    assert_eq!(set(&node, mark), everywhere(&[(0, true), (10, false)]));
}

#[tokio::test]
async fn states_are_told_while_plans_are_under_way_and_each_vip_is_planned_again_afterwards() {
    let mut node = Node::new().await;
    node.deadline = Duration::from_mins(1);
    node.set_config(many(self::node()));
    node.all_up();
    node.start_agent();
    node.until_programmed().await;
    node.until_ready().await;
    node.clear_log();
    let mark = node.simulator.mark();
    node.simulator.hang(Duration::from_mins(1));
    node.set_state(&shared(), Down);
    until_told(&node, &[FELL]).await;
    node.set_state(&shared(), Up);
    until_told(&node, &[FELL, ROSE]).await;
    assert_eq!((plans(&node), node.changes()), (usize::from(VIPS), Vec::new()), "one plan each, and no answer");
    node.simulator.wake();
    node.until("all follow", |node| set(node, mark) == everywhere(&[(0, true), (10, false)])).await;
    node.until("all is told", |node| node.changes().len() == 2 * usize::from(VIPS)).await;
    until_told(&node, &[FELL, ROSE]).await;
}

#[tokio::test]
async fn states_are_told_while_vpp_is_away_and_not_again_when_it_is_back() {
    let node = following().await;
    node.simulator.stop().await.unwrap();
    node.until("VPP is missed", |node| node.log().iter().any(|line| line.starts_with("vpp-disconnect"))).await;
    node.set_state(&shared(), Down);
    until_told(&node, &[FELL]).await;
    node.set_state(&shared(), Up);
    until_told(&node, &[FELL, ROSE]).await;
    node.simulator.start_again().await.unwrap();
    node.until("all are there", |node| is_everywhere(node, 10)).await;
    node.until_ready().await;
    until_told(&node, &[FELL, ROSE]).await;
}

#[tokio::test]
async fn states_are_told_while_nothing_may_be_written() {
    let sync = SyncConf {
        startup_min_delay: Duration::from_mins(10),
        startup_max_delay: Duration::from_mins(10),
        ..SyncConf::default()
    };
    let node = Node::following(many(NodeConfig { sync, ..node() })).await;
    node.until("VPP is read", |node| node.status().vpp_connected).await;
    let rose = (FrontendState::Unknown, FrontendState::Up);
    until_told(&node, &[rose]).await;
    node.set_state(&shared(), Down);
    until_told(&node, &[rose, FELL]).await;
    assert_eq!(node.all_writes(), 0);
}

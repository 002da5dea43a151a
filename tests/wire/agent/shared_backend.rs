//! A backend used by many VIPs: its transitions are planned and sent in turns, and every Frontend's state is published
//! once, even if its VIP cannot be planned at that time.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use maglev_model::{
    Name,
    config::{Backend, Config, NodeConfig, SyncConf},
    event::{Event, FrontendState, Scope},
    health::BackendState::{Down, Up},
    vip::VipKey,
};
use maglev_testkit::objects::{backend, config, frontend, name, node_config, pool, vip};
use maglev_vpp_simulator::{Mark, Write};
use tokio::task::yield_now;

use super::fixture::Node;

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
    let node = Node::following(many(node_config())).await;
    node.until_programmed().await;
    node.until_ready().await;
    node.clear_log();
    node
}

fn is_everywhere(node: &Node, weight: u8) -> bool {
    (1..=VIPS).all(|n| node.weights(key(n)) == BTreeMap::from([(shared().address, weight)]))
}

type States = Vec<(FrontendState, FrontendState)>;

/// The published states of each Frontend, in order.
fn published_states(node: &Node) -> BTreeMap<Name, States> {
    let mut states: BTreeMap<Name, States> = BTreeMap::new();
    for event in node.published() {
        if let Event::FrontendTransition { name, from, to, .. } = event {
            states.entry(name).or_default().push((from, to));
        }
    }
    states
}

/// Waits until exactly these states were published for every Frontend.
async fn until_published(node: &Node, states: &[(FrontendState, FrontendState)]) {
    let all = (1..=VIPS).map(|n| (name(&format!("f{n}")), states.to_vec())).collect::<BTreeMap<_, _>>();
    node.until("the states are published", |node| published_states(node) == all).await;
}

const FELL: (FrontendState, FrontendState) = (FrontendState::Up, FrontendState::Down);
const ROSE: (FrontendState, FrontendState) = (FrontendState::Down, FrontendState::Up);

/// The weights written for each VIP, with their flush flags.
fn weights_set(node: &Node, mark: Mark) -> BTreeMap<IpAddr, Vec<(u8, bool)>> {
    let mut weights: BTreeMap<IpAddr, Vec<(u8, bool)>> = BTreeMap::new();
    for written in node.simulator.writes_since(mark) {
        match written.write {
            Write::SetWeight { vip, weight, flush, .. } => {
                weights.entry(vip.address).or_default().push((weight, flush));
            }
            other => panic!("{other:?}"),
        }
    }
    weights
}

fn everywhere(weights: &[(u8, bool)]) -> BTreeMap<IpAddr, Vec<(u8, bool)>> {
    (1..=VIPS).map(|n| (key(n).address, weights.to_vec())).collect()
}

/// Number of plans for single addresses.
fn plans(node: &Node) -> usize {
    let is_plan = |event: &&Event| matches!(event, Event::SyncStart { scope: Scope::Address(_) });
    node.published().iter().filter(is_plan).count()
}

#[tokio::test]
async fn first_steps_are_sent_before_the_last_address_is_planned() {
    let node = following().await;
    let mark = node.simulator.mark();
    node.set_state(&shared(), Down);
    // On one thread, each sample is taken after one or a few turns of the agent.
    let mut samples = vec![0];
    let mut plans_at_first_write = None;
    while plans(&node) < usize::from(VIPS) {
        yield_now().await;
        samples.push(plans(&node));
        if plans_at_first_write.is_none() && !node.simulator.writes_since(mark).is_empty() {
            plans_at_first_write = samples.last().copied();
        }
    }
    let largest = samples.windows(2).map(|samples| samples[1] - samples[0]).max().unwrap();
    assert!(largest <= usize::from(VIPS) / 2, "{largest} plans between two samples: {samples:?}");
    let plans_before = plans_at_first_write.expect("requests are sent meanwhile");
    assert!(plans_before <= usize::from(VIPS) / 2, "the first write came after {plans_before} plans: {samples:?}");
    node.until("all follow", |node| is_everywhere(node, 0)).await;
    assert_eq!(weights_set(&node, mark), everywhere(&[(0, true)]));
}

#[tokio::test]
async fn every_vip_follows_and_every_state_is_published_once() {
    let node = following().await;
    let mark = node.simulator.mark();
    node.set_state(&shared(), Down);
    node.until("all follow", |node| is_everywhere(node, 0)).await;
    until_published(&node, &[FELL]).await;
    node.set_state(&shared(), Up);
    node.until("all follow", |node| is_everywhere(node, 10)).await;
    until_published(&node, &[FELL, ROSE]).await;
    node.sync_now().await.unwrap();
    node.until("a pass went by", |node| node.log().iter().any(|line| line.starts_with("vpp-lb-sync-done scope=all")))
        .await;
    until_published(&node, &[FELL, ROSE]).await;
    assert_eq!(weights_set(&node, mark), everywhere(&[(0, true), (10, false)]));
}

#[tokio::test]
async fn states_are_published_during_plans_and_each_vip_is_planned_again_afterwards() {
    let mut node = Node::new().await;
    node.deadline = Duration::from_mins(1);
    node.set_config(many(node_config()));
    node.all_up();
    node.start_agent();
    node.until_programmed().await;
    node.until_ready().await;
    node.clear_log();
    let mark = node.simulator.mark();
    node.simulator.hang(Duration::from_mins(1));
    node.set_state(&shared(), Down);
    until_published(&node, &[FELL]).await;
    node.set_state(&shared(), Up);
    until_published(&node, &[FELL, ROSE]).await;
    assert_eq!((plans(&node), node.changes()), (usize::from(VIPS), Vec::new()), "one plan each, and no reply");
    node.simulator.wake();
    node.until("all follow", |node| weights_set(node, mark) == everywhere(&[(0, true), (10, false)])).await;
    node.until("all changes are published", |node| node.changes().len() == 2 * usize::from(VIPS)).await;
    until_published(&node, &[FELL, ROSE]).await;
}

#[tokio::test]
async fn states_are_published_without_vpp_and_not_again_after_reconnecting() {
    let node = following().await;
    node.simulator.stop().await.unwrap();
    node.until("the session has ended", |node| node.log().iter().any(|line| line.starts_with("vpp-disconnect"))).await;
    node.set_state(&shared(), Down);
    until_published(&node, &[FELL]).await;
    node.set_state(&shared(), Up);
    until_published(&node, &[FELL, ROSE]).await;
    node.simulator.start_again().await.unwrap();
    node.until("all are there", |node| is_everywhere(node, 10)).await;
    node.until_ready().await;
    until_published(&node, &[FELL, ROSE]).await;
}

#[tokio::test]
async fn states_are_published_while_writes_are_not_allowed() {
    let sync = SyncConf {
        startup_min_delay: Duration::from_mins(10),
        startup_max_delay: Duration::from_mins(10),
        ..SyncConf::default()
    };
    let node = Node::following(many(NodeConfig { sync, ..node_config() })).await;
    node.until("VPP is read", |node| node.status().vpp_connected).await;
    let rose = (FrontendState::Unknown, FrontendState::Up);
    until_published(&node, &[rose]).await;
    node.set_state(&shared(), Down);
    until_published(&node, &[rose, FELL]).await;
    assert_eq!(node.all_writes(), 0);
}

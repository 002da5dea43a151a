//! Verification of single VIPs in a VPP with many servers.

use std::time::Duration;

use maglev_model::{
    config::{Backend, Config},
    health::BackendState::{Down, Up},
    vip::VipKey,
};
use maglev_testkit::objects::{backend, config, frontend, ip, node_config, pool, vip};

use super::fixture::Node;

/// VIPs and backends that all of them have. A change of one VIP is a small part.
const VIPS: u8 = 20;
const SHARED: u8 = 100;
const DUMP: &str = "lb_vip_dump";
const SERVERS: &str = "lb_as_v2_dump";

fn web(last: u8) -> VipKey {
    vip(&format!("203.0.113.{last}"))
}

/// The backend that only the first Frontend has.
fn own() -> Backend {
    backend("own", "192.0.2.1")
}

fn shared(number: u8) -> Backend {
    backend(&format!("shared-{number}"), &format!("198.51.100.{number}"))
}

fn frontends() -> Config {
    let (own, shared): (_, Vec<Backend>) = (own(), (0..SHARED).map(shared).collect());
    let frontends = (1..=VIPS).map(|last| {
        let own = Some(&own).filter(|_| last == 1);
        let backends: Vec<&Backend> = shared.iter().chain(own).collect();
        frontend(&format!("web-{last}"), web(last), vec![pool("main", &backends)])
    });
    let mut node = node_config();
    node.sync.interval = Duration::from_hours(1);
    config(frontends, node)
}

fn requests(node: &Node, name: &str) -> u64 {
    node.simulator.requests().get(name).copied().unwrap_or(0)
}

/// A node whose VPP has many servers, in sync. There is no pass within the next hour.
async fn large_node() -> Node {
    let node = Node::following(frontends()).await;
    node.until_programmed().await;
    node.until_ready().await;
    node
}

/// Waits until VPP has the weight of the backend that only the first Frontend has.
async fn until_weight(node: &Node, weight: u8) {
    let address = ip("192.0.2.1");
    node.until("the weight is in VPP", |node| node.weights(web(1)).get(&address) == Some(&weight)).await;
}

#[tokio::test]
async fn changed_weight_is_read_back_without_a_dump() {
    let node = large_node().await;
    let (dumps, reads) = (requests(&node, DUMP), requests(&node, SERVERS));
    node.set_state(&own(), Down);
    until_weight(&node, 0).await;
    node.until("the servers were read", |node| requests(node, SERVERS) > reads).await;
    let buckets = |node: &Node| Some(node.dump()?.actual.vips.get(&web(1).into())?.ases.get(&ip("192.0.2.1"))?.buckets);
    node.until("the buckets are those after the change", |node| buckets(node) == Some(0)).await;
    assert_eq!(requests(&node, DUMP), dumps);
}

#[tokio::test]
async fn weight_that_vpp_did_not_change_is_found_and_repaired() {
    let node = large_node().await;
    let dumps = requests(&node, DUMP);
    node.simulator.lie_next("lb_as_set_weight", |_| ());
    node.set_state(&own(), Down);
    until_weight(&node, 0).await;
    assert!(requests(&node, DUMP) > dumps, "a dump decides what is repaired");
    node.set_state(&own(), Up);
    until_weight(&node, 10).await;
}

#[tokio::test]
async fn vip_that_a_single_read_lacks_stays() {
    let node = large_node().await;
    let (dumps, mark) = (requests(&node, DUMP), node.simulator.mark());
    node.simulator.lie_next(SERVERS, |lb| lb.forget_vip(web(1).into()).unwrap());
    node.set_state(&own(), Down);
    node.until("a dump decides", |node| requests(node, DUMP) > dumps).await;
    node.set_state(&own(), Up);
    until_weight(&node, 10).await;
    assert_eq!(node.simulator.writes_since(mark).len(), 2, "nothing was written but both weights");
}

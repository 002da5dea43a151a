//! Verification of single VIPs, since VPP was slow to reply to the last dump.

use std::time::Duration;

use maglev_model::{
    config::{Backend, Config},
    health::BackendState::{Down, Up},
    vip::VipKey,
};
use maglev_testkit::objects::{backend, config, frontend, ip, node_config, pool, vip};

use super::fixture::Node;

/// A change of one VIP is a small part of all.
const VIPS: u8 = 24;
/// A dump that takes this long is costly.
const SLOW: Duration = Duration::from_millis(800);
const DUMP: &str = "lb_vip_dump";
const SERVERS: &str = "lb_as_v2_dump";

fn web(last: u8) -> VipKey {
    vip(&format!("203.0.113.{last}"))
}

/// The backend that only the first Frontend has.
fn own() -> Backend {
    backend("own", "192.0.2.1")
}

fn frontends() -> Config {
    let shared = backend("shared", "192.0.2.2");
    let frontends = (1..=VIPS).map(|last| {
        let main = if last == 1 { pool("main", &[&own(), &shared]) } else { pool("main", &[&shared]) };
        frontend(&format!("web-{last}"), web(last), vec![main])
    });
    config(frontends, node_config())
}

fn requests(node: &Node, name: &str) -> u64 {
    node.simulator.requests().get(name).copied().unwrap_or(0)
}

/// A node whose agent has just received a dump that took long.
async fn after_slow_dump() -> Node {
    let node = Node::following(frontends()).await;
    node.edit_node(|conf| conf.sync.interval = Duration::from_hours(1));
    node.until_programmed().await;
    node.until_ready().await;
    let passes = |node: &Node| node.log().iter().filter(|line| line.starts_with("vpp-lb-sync-done scope=all")).count();
    let before = passes(&node);
    node.simulator.hang(SLOW);
    node.sync_now().await.unwrap();
    node.until("a slow pass went by", |node| passes(node) > before).await;
    node
}

#[tokio::test]
async fn changed_weight_is_read_back_without_a_dump() {
    let node = after_slow_dump().await;
    let (dumps, reads) = (requests(&node, DUMP), requests(&node, SERVERS));
    node.set_state(&own(), Down);
    node.until_weights(web(1), &[("192.0.2.1", 0), ("192.0.2.2", 10)]).await;
    node.until("the servers were read", |node| requests(node, SERVERS) > reads).await;
    let buckets = |node: &Node| Some(node.dump()?.actual.vips.get(&web(1).into())?.ases.get(&ip("192.0.2.1"))?.buckets);
    node.until("the buckets are those after the change", |node| buckets(node) == Some(0)).await;
    assert_eq!(requests(&node, DUMP), dumps);
}

#[tokio::test]
async fn weight_that_vpp_did_not_change_is_found_and_repaired() {
    let node = after_slow_dump().await;
    let dumps = requests(&node, DUMP);
    node.simulator.lie_next("lb_as_set_weight", |_| ());
    node.set_state(&own(), Down);
    node.until_weights(web(1), &[("192.0.2.1", 0), ("192.0.2.2", 10)]).await;
    assert!(requests(&node, DUMP) > dumps, "a dump decides what is repaired");
    node.set_state(&own(), Up);
    node.until_weights(web(1), &[("192.0.2.1", 10), ("192.0.2.2", 10)]).await;
}

#[tokio::test]
async fn vip_that_a_single_read_lacks_stays() {
    let node = after_slow_dump().await;
    let (dumps, mark) = (requests(&node, DUMP), node.simulator.mark());
    node.simulator.lie_next(SERVERS, |lb| lb.forget_vip(web(1).into()).unwrap());
    node.set_state(&own(), Down);
    node.until("a dump decides", |node| requests(node, DUMP) > dumps).await;
    node.set_state(&own(), Up);
    node.until_weights(web(1), &[("192.0.2.1", 10), ("192.0.2.2", 10)]).await;
    assert_eq!(node.simulator.writes_since(mark).len(), 2, "nothing was written but both weights");
}

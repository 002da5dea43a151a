//! Pending flushes: kept until VPP executed them, executed once, and dropped when VPP restarts.

use std::net::IpAddr;

use maglev_model::{
    config::{AdminState, Backend},
    health::BackendState::{Disabled, Down, Up},
};
use maglev_testkit::objects::{backend, config, frontend, ip, node_config, pool, vip};
use maglev_vpp_simulator::{Mark, Write};

use super::fixture::Node;

/// The weights written, each with its flush flag, and true if VPP replied with 0.
fn weights_set(node: &Node, mark: Mark) -> Vec<(IpAddr, u8, bool, bool)> {
    let writes = node.simulator.writes_since(mark).into_iter();
    let weights = writes.filter_map(|written| match written.write {
        Write::SetWeight { address, weight, flush, .. } => Some((address, weight, flush, written.retval == 0)),
        _ => None,
    });
    weights.collect()
}

#[tokio::test]
async fn refused_flush_stays_pending_and_an_executed_one_is_not_repeated() {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a, &b])]);
    let node = Node::following(config([web], node_config())).await;
    node.until_programmed().await;
    node.until_ready().await;
    // Another client removed the server: the flush is refused, and the agent adds the server again, at weight 0 and
    // with the flush of an added server.
    node.simulator.edit(|lb| lb.remove_as(vip("203.0.113.1").into(), ip("192.0.2.1")).unwrap());
    let mark = node.simulator.mark();
    node.set_state(&a, Down);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 0), ("192.0.2.2", 10)]).await;
    node.until_programmed().await;
    assert_eq!(weights_set(&node, mark), [(ip("192.0.2.1"), 0, true, false)]);
    // Drift after the flush: the weight is repaired, the flows are kept.
    node.simulator.edit(|lb| lb.set_weight(vip("203.0.113.1").into(), ip("192.0.2.1"), 50).unwrap());
    let mark = node.simulator.mark();
    node.sync_now().await.unwrap();
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 0), ("192.0.2.2", 10)]).await;
    assert_eq!(weights_set(&node, mark), [(ip("192.0.2.1"), 0, false, true)]);
}

#[tokio::test]
async fn flush_is_executed_once_for_each_failure() {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a, &b])]);
    let node = Node::following(config([web], node_config())).await;
    node.until_programmed().await;
    let mark = node.simulator.mark();
    for _ in 0..2 {
        node.set_state(&a, Down);
        node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 0), ("192.0.2.2", 10)]).await;
        node.set_state(&a, Up);
        node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 10), ("192.0.2.2", 10)]).await;
    }
    let a = ip("192.0.2.1");
    assert_eq!(
        weights_set(&node, mark),
        [(a, 0, true, true), (a, 10, false, true), (a, 0, true, true), (a, 10, false, true)]
    );
}

#[tokio::test]
async fn disabled_backend_is_flushed_once_whichever_of_config_and_health_arrives_first() {
    for health_first in [true, false] {
        let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
        let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a, &b])]);
        let node = Node::following(config([web], node_config())).await;
        node.until_programmed().await;
        let mark = node.simulator.mark();
        let disabled = Backend { admin_state: AdminState::Disabled, ..a.clone() };
        let disable = |node: &Node| node.edit("web", |web| web.pools = vec![pool("primary", &[&disabled, &b])]);
        if health_first {
            node.set_state(&a, Disabled);
            node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 0), ("192.0.2.2", 10)]).await;
            disable(&node);
        } else {
            disable(&node);
            node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 0), ("192.0.2.2", 10)]).await;
            node.set_state(&a, Disabled);
        }
        let expected = "frontend-programmed name=default/web generation=2 result=Programmed";
        node.until("the new spec is programmed", |node| node.log().iter().any(|line| line == expected)).await;
        assert_eq!(weights_set(&node, mark), [(ip("192.0.2.1"), 0, true, true)], "health first: {health_first}");
    }
}

#[tokio::test]
async fn pending_flush_is_dropped_when_vpp_restarts() {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a, &b])]);
    let node = Node::following(config([web], node_config())).await;
    node.until_programmed().await;
    node.simulator.stop().await.unwrap();
    node.until("the session has ended", |node| node.log().iter().any(|line| line.starts_with("vpp-disconnect"))).await;
    let mark = node.simulator.mark();
    node.set_state(&a, Down);
    node.simulator.start_again().await.unwrap();
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 0), ("192.0.2.2", 10)]).await;
    node.until_programmed().await;
    node.sync_now().await.unwrap();
    node.until("a pass went by", |node| {
        node.log().iter().filter(|line| line.starts_with("vpp-lb-sync-done scope=all")).count() >= 3
    })
    .await;
    assert_eq!(weights_set(&node, mark), [], "the weight was set with the server, and there are no flows");
}

//! Changes beyond a disruption budget: held, reported, and made when they are accepted.

use std::time::Duration;

use maglev_model::{
    config::{DisruptionBudget, Frontend, Pool},
    health::BackendState::{Down, Up},
};
use maglev_testkit::objects::{backend, config, frontend, name, node_config, pool, vip};

use super::fixture::Node;

fn web(pools: Vec<Pool>) -> Frontend {
    let budget = DisruptionBudget { max_moved_percent: 20, window: Duration::from_secs(60) };
    Frontend { disruption: Some(budget), ..frontend("web", vip("203.0.113.1"), pools) }
}

/// The id of the hold and the announced share in percent.
fn held(node: &Node) -> Option<(String, f64)> {
    let log = node.log();
    let line = log.iter().rfind(|line| line.starts_with("vpp-lb-sync-held "))?;
    let value = |key: &str| line.split(' ').find_map(|part| part.strip_prefix(key)).unwrap_or_default().to_owned();
    assert_eq!((value("reason=").as_str(), value("frontend=").as_str()), ("disruption", "default/web"), "{line}");
    Some((value("hold="), value("moved-percent=").parse().unwrap()))
}

#[tokio::test]
async fn change_beyond_the_budget_waits_for_acceptance_and_follows_health() {
    let (a, b, c) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"), backend("c", "192.0.2.3"));
    let all = || vec![pool("primary", &[&a, &b, &c])];
    let mut node = Node::following(config([web(all())], node_config())).await;
    node.until_programmed().await;
    let key = vip("203.0.113.1");
    let mark = node.simulator.mark();

    node.edit("web", |web| web.pools = vec![pool("primary", &[&a, &b])]);
    node.until("the change is held", |node| held(node).is_some()).await;
    let (id, moved) = held(&node).unwrap();
    assert!((30.0..50.0).contains(&moved), "a third, and collateral: {moved}");
    let report = "result=Held reason=DisruptionHeld";
    node.until("it is reported", |node| node.log().iter().any(|line| line.contains(report))).await;
    assert_eq!(node.simulator.writes_since(mark).len(), 0, "nothing is written to VPP");

    node.set_state(&a, Down);
    node.until_weights(key, &[("192.0.2.1", 0), ("192.0.2.2", 10), ("192.0.2.3", 10)]).await;
    node.set_state(&a, Up);
    node.until_weights(key, &[("192.0.2.1", 10), ("192.0.2.2", 10), ("192.0.2.3", 10)]).await;

    // A restarted agent holds the change under the same id.
    node.stop_agent().await;
    node.clear_log();
    let mark = node.simulator.mark();
    node.start_agent();
    node.until("the change is held again", |node| held(node).is_some()).await;
    assert_eq!(held(&node), Some((id.clone(), moved)));
    assert_eq!(node.simulator.writes_since(mark).len(), 0);

    node.accept_removals(&[&id]);
    node.until_weights(key, &[("192.0.2.1", 10), ("192.0.2.2", 10)]).await;
    node.until_one_programmed("web").await;
    let released = format!("vpp-lb-sync-released hold={id} by=accepted");
    node.until("the end of the hold is published", |node| node.log().contains(&released)).await;
}

#[tokio::test]
async fn hold_ends_when_the_change_is_taken_back_or_the_frontend_deleted() {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let all = || vec![pool("primary", &[&a, &b])];
    let node = Node::following(config([web(all())], node_config())).await;
    node.until_programmed().await;
    let ends = |node: &Node| {
        node.log().iter().filter(|line| line.contains("-released ") && line.ends_with("by=obsolete")).count()
    };
    node.edit("web", |web| web.sticky = true);
    node.until("a recreate is held", |node| held(node).is_some_and(|(_, moved)| moved == 100.0)).await;
    node.edit("web", |web| web.sticky = false);
    node.until("the hold has ended", |node| ends(node) == 1).await;
    node.until_one_programmed("web").await;
    node.edit("web", |web| web.sticky = true);
    node.until("it is held again", |node| node.log().iter().filter(|line| line.contains("-held ")).count() == 2).await;
    let mut config = node.config();
    config.frontends.remove(&name("web"));
    node.set_config(config);
    node.until("the hold has ended", |node| ends(node) == 2).await;
    node.until("the VIP is removed", |node| node.simulator.snapshot().vips.is_empty()).await;
}

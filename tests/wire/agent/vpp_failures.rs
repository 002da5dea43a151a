//! VPP crashes, hangs, starts late, loses replies or drifts: the agent restores exactly the desired state, by itself.

use maglev_testkit::objects::{backend, config, frontend, ip, node_config, pool, vip};
use std::time::Duration;

use maglev_model::{config::Config, health::BackendState::Down, vip::VipKey};

use super::fixture::Node;

const VIPS: u8 = 20;

fn many() -> Config {
    let backends: Vec<_> = (1..=8).map(|n| backend(&format!("b{n}"), &format!("192.0.2.{n}"))).collect();
    let members: Vec<_> = backends.iter().collect();
    let frontends = (1..=VIPS).map(|n| frontend(&format!("f{n:02}"), key(n), vec![pool("primary", &members)]));
    config(frontends, node_config())
}

fn key(n: u8) -> VipKey {
    vip(&format!("203.0.113.{n}"))
}

async fn until_all(node: &Node) {
    let complete = |node: &Node, n: u8| {
        let weights = node.weights(key(n));
        weights.len() == 8 && weights.values().all(|weight| *weight == 10)
    };
    node.until("all VIPs are complete", |node| (1..=VIPS).all(|n| complete(node, n))).await;
    assert_eq!(node.simulator.snapshot().vips.len(), usize::from(VIPS));
}

#[tokio::test]
async fn vpp_killed_during_a_sync_is_programmed_completely_after_its_restart() {
    for requests in [3, 30, 90] {
        let mut node = Node::new().await;
        node.set_config(many());
        node.all_up();
        node.simulator.kill_after(requests);
        node.start_agent();
        tokio::time::timeout(Duration::from_secs(30), node.simulator.wait_until_dead()).await.unwrap();
        node.simulator.start_again().await.unwrap();
        until_all(&node).await;
        node.until_programmed().await;
    }
}

#[tokio::test]
async fn restarted_vpp_is_programmed_again_without_flushes() {
    let node = Node::following(many()).await;
    until_all(&node).await;
    node.until_programmed().await;
    node.set_state(&backend("b1", "192.0.2.1"), Down);
    node.until("b1 has no weight", |node| (1..=VIPS).all(|n| node.weights(key(n))[&ip("192.0.2.1")] == 0)).await;
    node.clear_log();
    let mark = node.simulator.mark();
    node.simulator.restart().await.unwrap();
    node.until("all VIPs are complete again", |node| {
        (1..=VIPS).all(|n| node.weights(key(n)).len() == 8 && node.weights(key(n))[&ip("192.0.2.1")] == 0)
    })
    .await;
    let flushes = node
        .simulator
        .writes_since(mark)
        .into_iter()
        .filter(|written| matches!(written.write, maglev_vpp_simulator::Write::SetWeight { .. }));
    assert_eq!(flushes.count(), 0, "weights come with the servers");
    assert!(node.log().iter().any(|line| line.starts_with("vpp-disconnect")));
}

#[tokio::test]
async fn session_with_a_hanging_vpp_ends_and_is_reopened() {
    let node = Node::following(many()).await;
    until_all(&node).await;
    node.simulator.hang(Duration::from_secs(60));
    node.edit("f01", |f01| f01.pools[0].members[0].weight = maglev_model::vip::Weight::new(77).unwrap());
    node.until("the session has ended", |node| node.log().iter().any(|line| line.starts_with("vpp-disconnect"))).await;
    node.simulator.wake();
    node.until("the change arrived", |node| node.weights(key(1)).values().any(|weight| *weight == 77)).await;
    node.until_programmed().await;
}

#[tokio::test]
async fn vpp_started_after_the_agent_is_programmed() {
    let mut node = Node::new().await;
    node.simulator.stop().await.unwrap();
    node.set_config(many());
    node.all_up();
    node.start_agent();
    node.until("an attempt to connect failed", |node| {
        node.log().iter().any(|line| line.starts_with("vpp-connect-failed"))
    })
    .await;
    node.simulator.start_again().await.unwrap();
    until_all(&node).await;
}

#[tokio::test]
async fn swallowed_reply_fails_only_its_step() {
    let mut node = Node::new().await;
    node.set_config(many());
    node.all_up();
    node.simulator.swallow_next_reply("lb_add_del_as_v2");
    node.start_agent();
    until_all(&node).await;
    node.until_programmed().await;
    assert!(!node.log().iter().any(|line| line.starts_with("vpp-disconnect")), "the session did not end");
    let errors = node.log().into_iter().filter(|line| line.starts_with("vpp-lb-sync-error")).count();
    assert_eq!(errors, 1);
}

#[tokio::test]
async fn drift_is_repaired() {
    let mut config = many();
    let mut conf = node_config();
    conf.sync.interval = Duration::from_millis(500);
    config.node = std::sync::Arc::new(conf);
    let node = Node::following(config).await;
    until_all(&node).await;
    node.until_programmed().await;
    node.simulator.edit(|lb| {
        lb.set_weight(key(1).into(), ip("192.0.2.1"), 200).unwrap();
        lb.remove_as(key(2).into(), ip("192.0.2.2")).unwrap();
        lb.add_as(key(3).into(), ip("192.0.2.99"), 1).unwrap();
    });
    until_all(&node).await;
    node.until_programmed().await;
}

#[tokio::test]
async fn swallowed_dump_is_retried_after_a_delay() {
    let mut node = Node::new().await;
    node.set_config(many());
    node.all_up();
    node.simulator.swallow_next_reply("lb_conf_get");
    node.start_agent();
    until_all(&node).await;
    let errors = node.log().into_iter().filter(|line| line.starts_with("vpp-lb-sync-error step=read "));
    assert_eq!(errors.count(), 1);
    assert!(!node.log().iter().any(|line| line.starts_with("vpp-disconnect")), "the session did not end");
}

#[tokio::test]
async fn session_whose_ping_fails_ends_and_is_reopened() {
    let mut node = Node::new().await;
    node.ping_interval = Duration::from_millis(200);
    node.deadline = Duration::from_secs(30);
    node.set_config(many());
    node.all_up();
    node.start_agent();
    until_all(&node).await;
    node.until_programmed().await;
    let pings = |node: &Node| node.simulator.requests()["control_ping"];
    let before = pings(&node);
    node.simulator.swallow_next_reply("control_ping");
    node.until("a ping got no reply", |node| pings(node) > before).await;
    // VPP replies to a later request, so the deadline of the session does not expire.
    node.edit("f01", |f01| f01.pools[0].members[0].weight = maglev_model::vip::Weight::new(77).unwrap());
    let ended = |line: &String| line.starts_with("vpp-disconnect") && line.contains("the ping failed");
    node.until("the session has ended", |node| node.log().iter().any(ended)).await;
    node.until("the change arrived", |node| node.weights(key(1)).values().any(|weight| *weight == 77)).await;
    node.until_programmed().await;
}

#[tokio::test]
async fn lost_reply_to_the_settings_delays_no_weight() {
    let node = Node::following(many()).await;
    until_all(&node).await;
    node.until_programmed().await;
    node.simulator.swallow_next_reply("lb_conf");
    node.edit_node(|conf| conf.vpp.flow_timeout = Some(77));
    node.set_state(&backend("b1", "192.0.2.1"), Down);
    node.until("b1 has no weight", |node| (1..=VIPS).all(|n| node.weights(key(n))[&ip("192.0.2.1")] == 0)).await;
    node.until("the lost reply is reported", |node| {
        node.log().iter().any(|line| line.starts_with("vpp-lb-sync-error step=set-conf "))
    })
    .await;
    assert!(!node.log().iter().any(|line| line.starts_with("vpp-disconnect")), "the session did not end");
}

#[tokio::test]
async fn dump_without_its_details_is_read_again() {
    let node = Node::following(many()).await;
    until_all(&node).await;
    node.until_programmed().await;
    for lost in ["lb_vip_dump", "lb_as_v2_dump"] {
        node.clear_log();
        let mark = node.simulator.mark();
        node.simulator.swallow_next_reply(lost);
        node.sync_now().await.unwrap();
        let has = |node: &Node, start: &str| node.log().iter().any(|line| line.starts_with(start));
        node.until("the loss is reported", |node| has(node, "vpp-lb-sync-error step=read ")).await;
        node.until("a pass has ended", |node| has(node, "vpp-lb-sync-done scope=all ")).await;
        assert_eq!(node.simulator.writes_since(mark), [], "{lost}: present objects are not added again");
    }
}

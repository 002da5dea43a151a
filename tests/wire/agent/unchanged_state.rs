//! State that the agent must not change: foreign VIPs, held VIPs, and VIPs that are in sync after a restart.

use std::time::Duration;

use maglev_model::{
    actual::VppVip,
    config::{ForeignVips, NodeConfig, Standing, SyncConf},
    health::BackendState::Down,
    problem::{Problem, Reason},
    vip::Encap,
};
use maglev_testkit::objects::{backend, config, frontend, ip, name, node_config, pool, vip};
use maglev_vpp_simulator::{Prefix, VipSettings};

use super::fixture::Node;

fn foreign_vip() -> VppVip {
    VppVip { address: ip("198.51.100.7"), length: 32, protocol: 17, port: 53 }
}

fn add_foreign_vip(node: &Node) {
    node.simulator.edit(|lb| {
        lb.add_vip(Prefix::host(ip("198.51.100.7")), 17, 53, VipSettings::default()).unwrap();
        lb.add_as(foreign_vip(), ip("192.0.2.77"), 100).unwrap();
    });
}

#[tokio::test]
async fn foreign_vip_is_reported_once_and_kept_by_default() {
    let mut node = Node::new().await;
    add_foreign_vip(&node);
    node.set_config(config([], node_config()));
    node.start_agent();
    node.until_ready().await;
    node.edit_node(|conf| conf.sync.interval = Duration::from_secs(31));
    node.until("a second pass", |node| {
        node.log().iter().filter(|line| line.starts_with("vpp-lb-sync-done scope=all")).count() >= 2
    })
    .await;
    let events: Vec<String> = node.log().into_iter().filter(|line| line.starts_with("vpp-foreign-vip")).collect();
    assert_eq!(events, ["vpp-foreign-vip vip=198.51.100.7/32 protocol=udp port=53"]);
    assert!(node.simulator.snapshot().vips.contains_key(&foreign_vip()));
    node.edit_node(|conf| conf.sync.foreign_vips = ForeignVips::Remove);
    node.until("it is removed", |node| node.simulator.snapshot().vips.is_empty()).await;
}

#[tokio::test]
async fn nothing_is_written_before_the_first_complete_list() {
    let mut node = Node::new().await;
    add_foreign_vip(&node);
    node.start_agent();
    node.until("VPP was read", |node| node.simulator.requests().contains_key("lb_as_v2_dump")).await;
    node.until("VPP was read", |node| node.log().iter().any(|line| line.starts_with("vpp-lb-state vips=1 "))).await;
    let start = node.simulator.mark();
    let a = backend("a", "192.0.2.1");
    node.set_config(config([frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])])], node_config()));
    node.all_up();
    node.until_programmed().await;
    let writes = node.simulator.writes_since(start);
    assert!(!writes.is_empty() && node.all_writes() == writes.len(), "all writes came after the list");
}

#[tokio::test]
async fn restarted_agent_writes_nothing_if_vpp_is_in_sync() {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a, &b])]);
    let mut node = Node::following(config([web], node_config())).await;
    node.set_state(&b, Down);
    node.until_programmed().await;
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 10), ("192.0.2.2", 0)]).await;
    node.stop_agent().await;
    let mark = node.simulator.mark();
    node.clear_log();
    node.start_agent();
    node.until_programmed().await;
    node.until_ready().await;
    assert_eq!(node.simulator.writes_since(mark), []);
}

#[tokio::test]
async fn unknown_backend_keeps_the_weight_of_vpp_until_its_first_probe() {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a, &b])]);
    let mut node = Node::following(config([web], node_config())).await;
    node.until_programmed().await;
    node.stop_agent().await;
    node.forget_health();
    let mark = node.simulator.mark();
    node.clear_log();
    node.start_agent();
    node.until_programmed().await;
    assert_eq!(node.simulator.writes_since(mark), []);
    node.set_state(&b, Down);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 10), ("192.0.2.2", 0)]).await;
    node.until("it was flushed", |node| node.changes().iter().any(|line| line.ends_with("from=10 to=0 flush=true")))
        .await;
}

#[tokio::test]
async fn warm_up_waits_for_the_backends_up_to_the_maximal_delay() {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let known = frontend("known", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
    let unknown = frontend("unknown", vip("203.0.113.2"), vec![pool("primary", &[&b])]);
    let sync = SyncConf {
        startup_min_delay: Duration::from_millis(300),
        startup_max_delay: Duration::from_secs(3),
        ..SyncConf::default()
    };
    let mut node = Node::new().await;
    node.set_config(config([known, unknown], NodeConfig { sync, ..node_config() }));
    node.set_state(&a, maglev_model::health::BackendState::Up);
    node.start_agent();
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 10)]).await;
    assert!(!node.simulator.snapshot().vips.contains_key(&vip("203.0.113.2").into()), "b is not known yet");
    assert!(node.ready().is_err(), "still warming up");
    node.until_weights(vip("203.0.113.2"), &[("192.0.2.2", 0)]).await;
    node.until_ready().await;
}

#[tokio::test]
async fn held_frontend_is_unchanged_but_its_weights_follow_health() {
    let a = backend("a", "192.0.2.1");
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
    let node = Node::following(config([web], node_config())).await;
    node.until_programmed().await;
    let six = backend("six", "2001:db8::6");
    node.edit("web", |web| {
        web.standing = Standing::Held(Problem::new(Reason::MixedFamilies, "spec.pools", "two families"));
        web.pools = vec![pool("primary", &[&a, &six])];
        web.encap = Some(Encap::Gre6);
    });
    let expected = "frontend-programmed name=default/web generation=2 result=Held reason=MixedFamilies";
    node.until("it is held", |node| node.log().iter().any(|line| line == expected)).await;
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 10)]).await;
    node.set_state(&a, Down);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 0)]).await;
}

#[tokio::test]
async fn no_vip_is_removed_while_a_claim_is_unreadable() {
    let a = backend("a", "192.0.2.1");
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
    let other = frontend("other", vip("203.0.113.2"), vec![pool("primary", &[&a])]);
    let node = Node::following(config([web, other], node_config())).await;
    node.until_programmed().await;
    let mut config = node.config();
    config.frontends.remove(&name("web"));
    config.claims_unknown = true;
    node.set_config(config.clone());
    node.edit("other", |other| other.pools[0].members[0].weight = maglev_model::vip::Weight::new(20).unwrap());
    node.until_weights(vip("203.0.113.2"), &[("192.0.2.1", 20)]).await;
    node.until_programmed().await;
    assert_eq!(node.simulator.snapshot().vips.len(), 2);
    let mut config = node.config();
    config.claims_unknown = false;
    node.set_config(config);
    node.until("it is removed", |node| node.simulator.snapshot().vips.len() == 1).await;
}

#[tokio::test]
async fn frontend_without_a_source_address_is_not_programmed() {
    let a = backend("a", "192.0.2.1");
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
    let node = Node::following(config([web], NodeConfig { internal_ipv4: None, ..node_config() })).await;
    let expected = "frontend-programmed name=default/web generation=1 result=Failed reason=NoSourceAddress";
    node.until("it failed", |node| node.log().iter().any(|line| line == expected)).await;
    assert_eq!(node.all_writes(), 0);
    node.edit_node(|conf| conf.internal_ipv4 = Some([192, 0, 2, 254].into()));
    node.until_programmed().await;
}

#[tokio::test]
async fn frontend_deleted_during_downtime_is_removed() {
    let a = backend("a", "192.0.2.1");
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
    let mut node = Node::following(config([web], node_config())).await;
    node.until_programmed().await;
    node.stop_agent().await;
    node.remove("web");
    node.start_agent();
    node.until("it is removed", |node| node.simulator.snapshot().vips.is_empty()).await;
    let expected = "vpp-lb-sync-vip-removed frontend=default/web ";
    node.until("the change is published", |node| node.changes().iter().any(|line| line.starts_with(expected))).await;
}

#[tokio::test]
async fn second_agent_waits_for_the_lock() {
    let a = backend("a", "192.0.2.1");
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
    let mut node = Node::following(config([web], node_config())).await;
    node.until_programmed().await;
    let first = node.take_agent();
    node.start_agent();
    node.until("it waits", |node| node.ready() == Err("waiting for another agent to release this VPP".to_owned()))
        .await;
    assert_eq!(node.simulator.connections(), 1);
    first.stop().await;
    node.until_ready().await;
}

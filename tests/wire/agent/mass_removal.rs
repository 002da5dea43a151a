//! Mass removals: held, published, and released by time or by an operator, without effect on other changes.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use maglev_model::{
    config::{AdminState, Backend, Config, ForeignVips, NodeConfig, SyncConf},
    health::BackendState::{self, Down, Up},
    vip::{Dscp, Encap, VipKey},
};
use maglev_testkit::objects::{backend, config, frontend, ip, name, node_config, pool, vip};
use maglev_vpp_simulator::{Prefix, VipSettings, Write};

use super::fixture::Node;

const VIPS: u8 = 8;

fn key(n: u8) -> VipKey {
    vip(&format!("203.0.113.{n}"))
}

fn many(hold: Duration) -> Config {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let frontends = (1..=VIPS).map(|n| frontend(&format!("f{n}"), key(n), vec![pool("primary", &[&a, &b])]));
    let sync = SyncConf { mass_removal_hold: hold, ..node_config().sync };
    config(frontends, NodeConfig { sync, ..node_config() })
}

async fn following(hold: Duration) -> Node {
    let node = Node::following(many(hold)).await;
    node.until_programmed().await;
    node.until_ready().await;
    node.clear_log();
    node
}

fn remove(node: &Node, numbers: impl IntoIterator<Item = u8>) {
    let mut config = node.config();
    for n in numbers {
        config.frontends.remove(&name(&format!("f{n}"))).unwrap();
    }
    node.set_config(config);
}

/// The published holds: id, removals, until.
fn held(node: &Node) -> Vec<(String, u32, String)> {
    let log = node.log();
    let lines = log.iter().filter_map(|line| line.strip_prefix("vpp-lb-sync-held hold="));
    let parts = lines.map(|line| {
        let (id, rest) = line.split_once(" reason=mass-removal removals=").unwrap();
        let (removals, until) = rest.split_once(" until=").unwrap();
        (id.to_owned(), removals.parse().unwrap(), until.to_owned())
    });
    parts.collect()
}

fn vips(node: &Node) -> usize {
    node.simulator.snapshot().vips.len()
}

#[tokio::test]
async fn bulk_deletion_is_held_without_blocking_other_changes_and_can_be_accepted() {
    let node = following(Duration::from_secs(300)).await;
    node.accept_removals(&["0bad0bad"]);
    remove(&node, 1..=6);
    node.until("it is held", |node| !held(node).is_empty()).await;
    let (id, removals, until) = held(&node).remove(0);
    assert_eq!(removals, 6);
    let left = until.parse::<jiff::Timestamp>().unwrap().duration_since(jiff::Timestamp::now());
    assert!((280..=300).contains(&left.as_secs()), "{until}");
    assert_eq!(vips(&node), usize::from(VIPS));
    // Remaining VIPs follow health, held VIPs forward unchanged, and a new VIP is added.
    node.set_state(&backend("b", "192.0.2.2"), Down);
    node.until_weights(key(7), &[("192.0.2.1", 10), ("192.0.2.2", 0)]).await;
    let mut more = node.config();
    let ninth = frontend("f9", key(9), vec![pool("primary", &[&backend("a", "192.0.2.1")])]);
    more.frontends.insert(ninth.name.clone(), Arc::new(ninth));
    node.set_config(more);
    node.until_weights(key(9), &[("192.0.2.1", 10)]).await;
    node.until_weights(key(1), &[("192.0.2.1", 10), ("192.0.2.2", 10)]).await;
    // A restored Frontend is not removed with the others.
    let mut back = node.config();
    let second = many(Duration::ZERO).frontends[&name("f2")].clone();
    back.frontends.insert(second.name.clone(), second);
    node.set_config(back);
    node.until_one_programmed("f2").await;
    node.accept_removals(&["0bad0bad", &id]);
    node.until("the others are removed", |node| vips(node) == usize::from(VIPS) + 1 - 5).await;
    node.until_weights(key(2), &[("192.0.2.1", 10), ("192.0.2.2", 0)]).await;
    let released = format!("vpp-lb-sync-released hold={id} by=accepted");
    node.until("the end of the hold is published", |node| node.log().contains(&released)).await;
    assert_eq!(held(&node).len(), 1, "published once");
}

#[tokio::test]
async fn hold_expires_and_survives_a_new_session() {
    let node = following(Duration::from_secs(10)).await;
    remove(&node, 1..=VIPS);
    node.until("it is held", |node| !held(node).is_empty()).await;
    let mark = node.simulator.mark();
    node.simulator.hang(Duration::from_secs(60));
    node.sync_now().await.unwrap();
    node.until("the session has ended", |node| node.log().iter().any(|line| line.starts_with("vpp-disconnect"))).await;
    node.simulator.wake();
    node.until("there is another", |node| node.log().iter().any(|line| line.starts_with("vpp-connect "))).await;
    assert_eq!((vips(&node), node.simulator.writes_since(mark).len()), (usize::from(VIPS), 0));
    node.until("all VIPs are removed", |node| vips(node) == 0).await;
    assert_eq!(held(&node).len(), 1, "the hold stayed the same");
}

#[tokio::test]
async fn deletions_one_by_one_are_held_above_half() {
    let node = following(Duration::from_secs(300)).await;
    for n in 1..=4 {
        remove(&node, [n]);
        node.until("the VIP is removed", |node| vips(node) == usize::from(VIPS - n)).await;
    }
    for n in 5..=VIPS {
        remove(&node, [n]);
    }
    node.until("the rest is held", |node| held(node).iter().map(|held| held.1).max() == Some(4)).await;
    assert_eq!(vips(&node), 4);
    let ids: BTreeSet<String> = held(&node).into_iter().map(|held| held.0).collect();
    assert_eq!(ids.len(), 1, "one prune, one hold");
}

#[tokio::test]
async fn restarted_agent_counts_again_and_holds_deletions_of_its_downtime() {
    let mut node = following(Duration::from_secs(300)).await;
    node.stop_agent().await;
    remove(&node, 1..=5);
    node.start_agent();
    node.until("it is held", |node| held(node).iter().any(|held| held.1 == 5)).await;
    assert_eq!(vips(&node), usize::from(VIPS));
}

#[tokio::test]
async fn server_removals_are_held_above_half_and_the_frontend_reports_held() {
    let servers: Vec<_> = (1..=8).map(|n| backend(&format!("s{n}"), &format!("192.0.2.{n}"))).collect();
    let all: Vec<_> = servers.iter().collect();
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &all)]);
    let node = Node::following(config([web], node_config())).await;
    node.until_programmed().await;
    let replaced: Vec<_> = (1..=8).map(|n| backend(&format!("s{n}"), &format!("192.0.2.{}", n + 100))).collect();
    node.edit("web", |web| web.pools = vec![pool("primary", &replaced.iter().collect::<Vec<_>>())]);
    node.all_up();
    node.until("all are replaced", |node| {
        let weights = node.weights(vip("203.0.113.1"));
        weights.len() == 8 && weights.contains_key(&ip("192.0.2.101")) && weights.values().all(|weight| *weight == 10)
    })
    .await;
    node.edit("web", |web| web.pools = vec![pool("primary", &[&replaced[0], &replaced[1]])]);
    node.until("they are held", |node| held(node).iter().any(|held| held.1 == 6)).await;
    let expected = "frontend-programmed name=default/web generation=3 result=Held reason=RemovalHeld";
    node.until("the change is published", |node| node.log().iter().any(|line| line == expected)).await;
    node.set_state(&replaced[1], Down);
    node.until("health is followed", |node| node.weights(vip("203.0.113.1"))[&ip("192.0.2.102")] == 0).await;
    assert_eq!(node.weights(vip("203.0.113.1")).len(), 8);
    node.accept_removals(&[&held(&node)[0].0]);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.101", 10), ("192.0.2.102", 0)]).await;
    node.until_programmed().await;
}

/// Replaces Frontend `web`, whose eight Backends stay, with Frontend `new` of one other Backend.
async fn node_with_held_servers(servers: &[Backend], new: &Backend, new_state: BackendState) -> Node {
    let mut all =
        config([frontend("web", key(1), vec![pool("primary", &servers.iter().collect::<Vec<_>>())])], node_config());
    for backend in servers.iter().chain([new]) {
        all.backends.insert(backend.name.clone(), Arc::new(backend.clone()));
    }
    let node = Node::following(all).await;
    node.until_programmed().await;
    node.set_state(new, new_state);
    let mut config = node.config();
    config.frontends.remove(&name("web")).unwrap();
    config.frontends.insert(name("new"), Arc::new(frontend("new", key(1), vec![pool("primary", &[new])])));
    node.set_config(config);
    node.until("they are held", |node| held(node).iter().any(|held| held.1 == 8)).await;
    node
}

fn eight_servers() -> Vec<Backend> {
    (1..=8).map(|n| backend(&format!("s{n}"), &format!("192.0.2.{n}"))).collect()
}

/// Waits until the eight held servers have these weights, and the new server has `new`.
async fn until_held_weights(node: &Node, weights: [u8; 8], new: u8) {
    let held = (1..=8).zip(weights).map(|(n, weight)| (format!("192.0.2.{n}"), weight));
    let all: Vec<(String, u8)> = held.chain([("192.0.2.101".to_owned(), new)]).collect();
    node.until_weights(key(1), &all.iter().map(|(address, weight)| (&**address, *weight)).collect::<Vec<_>>()).await;
}

fn flushed(node: &Node) -> Vec<IpAddr> {
    let flush = |write: &Write| match write {
        Write::SetWeight { address, flush: true, .. } => Some(*address),
        _ => None,
    };
    node.simulator.writes_since(node.start).iter().filter_map(|written| flush(&written.write)).collect()
}

#[tokio::test]
async fn held_servers_follow_their_backends_until_the_new_frontend_serves() {
    let (servers, new) = (eight_servers(), backend("new", "192.0.2.101"));
    let node = node_with_held_servers(&servers, &new, Down).await;
    until_held_weights(&node, [10; 8], 0).await;
    node.set_state(&servers[0], Down);
    until_held_weights(&node, [0, 10, 10, 10, 10, 10, 10, 10], 0).await;
    let mut config = node.config();
    let disabled = Backend { admin_state: AdminState::Disabled, ..servers[1].clone() };
    config.backends.insert(disabled.name.clone(), Arc::new(disabled));
    config.backends.remove(&servers[7].name).unwrap();
    node.set_config(config);
    until_held_weights(&node, [0, 0, 10, 10, 10, 10, 10, 10], 0).await;
    node.set_state(&servers[0], Up);
    until_held_weights(&node, [10, 0, 10, 10, 10, 10, 10, 10], 0).await;
    node.set_state(&new, Up);
    until_held_weights(&node, [0; 8], 10).await;
    node.set_state(&new, Down);
    until_held_weights(&node, [10, 0, 10, 10, 10, 10, 10, 10], 0).await;
    let expected = [servers[0].address, servers[1].address, new.address];
    assert_eq!(flushed(&node), expected, "only servers that are down or disabled");
    node.accept_removals(&[&held(&node)[0].0]);
    node.until_weights(key(1), &[("192.0.2.101", 0)]).await;
}

#[tokio::test]
async fn held_servers_rest_once_the_new_frontend_serves() {
    let (servers, new) = (eight_servers(), backend("new", "192.0.2.101"));
    let node = node_with_held_servers(&servers, &new, Up).await;
    until_held_weights(&node, [0; 8], 10).await;
    assert_eq!(flushed(&node), Vec::<IpAddr>::new(), "their flows end by themselves");
    let mark = node.simulator.mark();
    node.set_state(&servers[2], Down);
    node.sync_now().await.unwrap();
    node.until("a pass went by", |node| node.log().iter().any(|line| line.starts_with("vpp-lb-sync-done scope=all")))
        .await;
    let weights = node.simulator.writes_since(mark);
    assert!(weights.len() <= 1, "at most the flush of the server that went down: {weights:?}");
}

#[tokio::test]
async fn removals_that_were_applied_again_no_longer_count() {
    let node = following(Duration::from_secs(300)).await;
    for n in 1..=4 {
        remove(&node, [n]);
        node.until("the VIP is removed", |node| vips(node) == usize::from(VIPS - n)).await;
    }
    let mut back = node.config();
    for n in 1..=3 {
        let frontend = many(Duration::ZERO).frontends[&name(&format!("f{n}"))].clone();
        back.frontends.insert(frontend.name.clone(), frontend);
    }
    node.set_config(back);
    node.until("they are back", |node| vips(node) == usize::from(VIPS) - 1).await;
    remove(&node, [8]);
    node.until("the VIP is removed", |node| vips(node) == usize::from(VIPS) - 2).await;
    assert_eq!(held(&node), []);
}

#[tokio::test]
async fn vip_that_conflicts_with_a_held_vip_waits() {
    let node = following(Duration::from_secs(300)).await;
    let mut config = node.config();
    for n in 1..=VIPS {
        config.frontends.remove(&name(&format!("f{n}"))).unwrap();
    }
    let mut other = frontend("other", VipKey { address: ip("203.0.113.1"), ..vip_81() }, vec![]);
    other.pools = vec![pool("primary", &[&backend("a", "192.0.2.1")])];
    other.encap = Some(Encap::L3dsr(Dscp::new(7).unwrap()));
    config.frontends.insert(other.name.clone(), Arc::new(other.clone()));
    node.set_config(config);
    node.until("they are held", |node| held(node).iter().any(|held| held.1 == u32::from(VIPS))).await;
    let expected = "frontend-programmed name=default/other generation=1 result=Pending reason=RemovalHeld";
    node.until("it waits", |node| node.log().iter().any(|line| line == expected)).await;
    node.accept_removals(&[&held(&node)[0].0]);
    node.until_weights(other.vip, &[("192.0.2.1", 10)]).await;
    node.until_programmed().await;
    assert!(!node.log().iter().any(|line| line.starts_with("vpp-lb-sync-error")), "no step was refused");
}

fn vip_81() -> VipKey {
    use maglev_model::vip::{Protocol, Service};
    VipKey { service: Service::Port { protocol: Protocol::Tcp, port: 81.try_into().unwrap() }, ..key(1) }
}

#[tokio::test]
async fn removed_foreign_vips_are_neither_held_nor_counted() {
    let mut node = Node::new().await;
    node.simulator.edit(|lb| {
        for n in 1..=20 {
            lb.add_vip(Prefix::host(ip(&format!("198.51.100.{n}"))), 6, 80, VipSettings::default()).unwrap();
        }
    });
    let mut config = many(Duration::from_secs(300));
    let sync = SyncConf { foreign_vips: ForeignVips::Remove, ..config.node.sync.clone() };
    config.node = Arc::new(NodeConfig { sync, ..node_config() });
    node.set_config(config);
    node.all_up();
    node.start_agent();
    node.until("the others are removed", |node| vips(node) == usize::from(VIPS)).await;
    node.until_programmed().await;
    remove(&node, 1..=2);
    node.until("two owned VIPs are removed", |node| vips(node) == usize::from(VIPS) - 2).await;
    assert_eq!(held(&node), []);
}

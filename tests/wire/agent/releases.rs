//! VPPs without weights (up to 26.06): the same Frontends reach the same state, as far as that VPP can.

use std::{collections::BTreeMap, time::Duration};

use maglev_model::{
    actual::VppVip,
    config::{AdminState, Frontend, OnBackendDown},
    health::BackendState::{Down, Up},
    vip::{Encap, Service, TableLength, VipKey, Weight},
};
use maglev_vpp_simulator::{Release, Write};

use super::fixture::{Node, backend, config, frontend, ip, node, pool, vip};

const COMMON: &str = "frontend=default/web vip=203.0.113.1 protocol=tcp port=80";

/// One of each kind that VPPs tell apart.
fn all_kinds() -> Vec<Frontend> {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let six = backend("six", "2001:db8::1");
    let all = VipKey { address: ip("203.0.113.4"), service: Service::AllPorts };
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a]), pool("standby", &[&b])]);
    let mut sticky = frontend("sticky", vip("203.0.113.2"), vec![pool("primary", &[&a, &b])]);
    (sticky.sticky, sticky.table_length) = (true, TableLength::new(256).unwrap());
    let mut to_ipv6 = frontend("to-ipv6", vip("203.0.113.3"), vec![pool("primary", &[&six])]);
    to_ipv6.encap = Some(Encap::Gre6);
    let mut ipv6 = frontend("ipv6", vip("2001:db8:1::1"), vec![pool("primary", &[&six])]);
    ipv6.encap = Some(Encap::Gre6);
    let from_ipv6 = frontend("from-ipv6", vip("2001:db8:1::2"), vec![pool("primary", &[&b])]);
    let all = frontend("all", all, vec![pool("primary", &[&a])]);
    let mut nat = frontend("nat", vip("203.0.113.5"), vec![pool("primary", &[&a])]);
    nat.encap = Some(Encap::Nat4(8080.try_into().unwrap()));
    vec![web, sticky, to_ipv6, ipv6, from_ipv6, all, nat]
}

fn both_sources() -> maglev_model::config::NodeConfig {
    maglev_model::config::NodeConfig { internal_ipv6: Some("2001:db8::254".parse().unwrap()), ..node() }
}

/// A pass over everything from a fresh read, to its end.
async fn another_pass(node: &Node) {
    node.clear_log();
    node.edit_node(|conf| conf.sync.interval += Duration::from_secs(1));
    node.until("a pass is over", |node| node.log().iter().any(|line| line.starts_with("vpp-lb-sync-done scope=all")))
        .await;
}

#[tokio::test]
async fn both_plugins_reach_the_desired_state_and_a_second_pass_writes_nothing() {
    for (release, capabilities) in [(Release::V26_10, "weights"), (Release::V26_06, "none")] {
        let mut node = Node::of_following(release, config(all_kinds(), both_sources())).await;
        node.until_programmed().await;
        let told = format!(" capabilities={capabilities}");
        assert!(node.log().iter().any(|line| line.starts_with("vpp-connect ") && line.ends_with(&told)), "{told}");
        let snapshot = node.simulator.snapshot();
        let wanted: BTreeMap<VppVip, Frontend> = all_kinds().into_iter().map(|of| (of.vip.into(), of)).collect();
        assert_eq!(snapshot.vips.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
        for (id, frontend) in &wanted {
            let (settings, ases) = (snapshot.vips[id].settings, &snapshot.vips[id].ases);
            let encap = maglev_model::actual::ActualEncap::from(frontend.encap.unwrap());
            assert_eq!(
                (settings.encap, settings.table_length, settings.src_ip_sticky, settings.target_port),
                (encap.kind, frontend.table_length.get().into(), frontend.sticky, encap.target_port)
            );
            let serving = ases.iter().filter(|(_, of)| of.buckets > 0).map(|(address, _)| *address);
            let members = frontend.pools[0].members.iter().filter_map(|member| member.target.address());
            assert_eq!(serving.collect::<Vec<_>>(), members.collect::<Vec<_>>(), "{id}");
        }
        let mark = node.simulator.mark();
        another_pass(&node).await;
        assert_eq!(node.simulator.writes_since(mark), [], "{release:?}: a second pass");
        node.stop_agent().await;
        node.clear_log();
        node.start_agent();
        node.until_programmed().await;
        node.until_ready().await;
        assert_eq!(node.simulator.writes_since(mark), [], "{release:?}: another agent");
    }
}

#[tokio::test]
async fn without_weights_a_standby_comes_and_goes() {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a]), pool("standby", &[&b])]);
    let node = Node::of_following(Release::V26_06, config([web], node())).await;
    node.until_programmed().await;
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 1)]).await;
    node.clear_log();
    let mark = node.simulator.mark();
    node.set_state(&a, Down);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.2", 1)]).await;
    node.set_state(&a, Up);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 1)]).await;
    node.until("all is told", |node| node.changes().len() >= 4).await;
    let line = |what: &str, backend: &str, server: &str, flush: bool| {
        format!("vpp-lb-sync-as-{what} {COMMON} backend=default/{backend} as={server} weight=1 flush={flush}")
    };
    assert_eq!(
        node.changes(),
        [
            line("added", "b", "192.0.2.2", true),
            line("removed", "a", "192.0.2.1", true),
            line("added", "a", "192.0.2.1", true),
            line("removed", "b", "192.0.2.2", false),
        ]
    );
    another_pass(&node).await;
    assert_eq!(node.simulator.writes_since(mark).len(), 4, "and nothing else was written");
    assert!(!node.log().iter().any(|line| line.starts_with("frontend-programmed")), "health is not a new program");
}

#[tokio::test]
async fn without_weights_only_what_is_to_be_cut_is_flushed() {
    let flushed = |node: &Node, mark| {
        let writes = node.simulator.writes_since(mark);
        let flush = |write: &Write| matches!(write, Write::RemoveAs { flush: true, .. });
        writes.iter().filter(|written| flush(&written.write)).count()
    };
    let a = backend("a", "192.0.2.1");
    let web = |on_backend_down| Frontend {
        on_backend_down,
        ..frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])])
    };
    let node = Node::of_following(Release::V26_06, config([web(OnBackendDown::Keep)], node())).await;
    node.until_programmed().await;
    let mark = node.simulator.mark();
    node.set_state(&a, Down);
    node.until_weights(vip("203.0.113.1"), &[]).await;
    node.set_state(&a, Up);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 1)]).await;
    let with = |state| {
        let stopped = maglev_model::config::Backend { admin_state: state, ..a.clone() };
        node.edit("web", |web| web.pools = vec![pool("primary", &[&stopped])]);
    };
    with(AdminState::Paused);
    node.until_weights(vip("203.0.113.1"), &[]).await;
    assert_eq!(flushed(&node, mark), 0, "kept and paused flows go on");
    with(AdminState::Disabled);
    node.until("its flows are cut", |node| flushed(node, mark) == 1).await;
    with(AdminState::Enabled);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 1)]).await;
    another_pass(&node).await;
    assert_eq!(flushed(&node, mark), 1);
}

#[tokio::test]
async fn without_weights_unequal_ones_are_told_and_served_alike() {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let mut web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a, &b])]);
    web.pools[0].members[0].weight = Weight::new(55).unwrap();
    let node = Node::of_following(Release::V26_06, config([web], node())).await;
    node.until_programmed().await;
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 1), ("192.0.2.2", 1)]).await;
    let told = |node: &Node, generation: u8, reason: &str| {
        let line = format!("frontend-programmed name=default/web generation={generation} result=Programmed{reason}");
        node.log().contains(&line)
    };
    assert!(told(&node, 1, " reason=WeightsUnsupported"));
    node.edit("web", |web| web.pools[0].members[0].weight = Weight::ZERO);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.2", 1)]).await;
    node.until("it is right now", |node| told(node, 2, "")).await;
}

#[tokio::test]
async fn what_the_old_plugin_does_not_tell_is_set_once_in_its_life() {
    let a = backend("a", "192.0.2.1");
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
    let mut conf = node();
    (conf.vpp.sticky_buckets_per_core, conf.vpp.flow_timeout) = (Some(2048), Some(60));
    let node = Node::of_following(Release::V26_06, config([web], conf)).await;
    node.until_programmed().await;
    let set = |node: &Node| node.log().iter().filter(|line| line.starts_with("vpp-lb-conf-set ")).count();
    assert_eq!(set(&node), 1);
    let numbers = |node: &Node| {
        let conf = node.simulator.snapshot().conf;
        (conf.sticky_buckets_per_core, conf.flow_timeout)
    };
    assert_eq!(numbers(&node), (2048, 60));
    let mark = node.simulator.mark();
    another_pass(&node).await;
    assert_eq!(node.simulator.writes_since(mark), []);
    node.simulator.restart().await.unwrap();
    node.until("it is filled again", |node| {
        numbers(node) == (2048, 60) && !node.weights(vip("203.0.113.1")).is_empty()
    })
    .await;
}

#[tokio::test]
async fn drift_of_the_old_plugin_is_repaired() {
    let a = backend("a", "192.0.2.1");
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
    let node = Node::of_following(Release::V26_06, config([web], node())).await;
    node.until_programmed().await;
    let id = VppVip::from(vip("203.0.113.1"));
    node.simulator.edit(|lb| {
        lb.remove_as(id, ip("192.0.2.1")).unwrap();
        lb.add_as(id, ip("192.0.2.77"), 1).unwrap();
    });
    another_pass(&node).await;
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 1)]).await;
    for edit in [
        |web: &mut Frontend| web.sticky = true,
        |web: &mut Frontend| web.encap = Some(Encap::L3dsr(maglev_model::vip::Dscp::new(7).unwrap())),
    ] {
        node.clear_log();
        node.edit("web", edit);
        node.until("it is recreated", |node| {
            node.changes().iter().any(|line| line.starts_with("vpp-lb-sync-vip-recreate "))
        })
        .await;
        node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 1)]).await;
    }
}

//! VPPs without weights (up to 26.06): the same Frontends reach the same state, within the limits of that VPP.

use std::{collections::BTreeMap, time::Duration};

use maglev_model::{
    actual::VppVip,
    config::{AdminState, Frontend, OnBackendDown},
    health::BackendState::{Down, Up},
    vip::{Dscp, Encap, Service, TableLength, VipKey, Weight},
};
use maglev_testkit::objects::{backend, config, frontend, ip, node_config, pool, vip};
use maglev_vpp_simulator::{Prefix, Release, VipSettings, Write};

use super::fixture::Node;

const COMMON: &str = "frontend=default/web vip=203.0.113.1 protocol=tcp port=80";

/// A Frontend of each kind that VPP distinguishes.
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
    let mut l3dsr = frontend("l3dsr", vip("203.0.113.5"), vec![pool("primary", &[&a])]);
    l3dsr.encap = Some(Encap::L3dsr(Dscp::new(7).unwrap()));
    vec![web, sticky, to_ipv6, ipv6, from_ipv6, all, l3dsr]
}

fn both_sources() -> maglev_model::config::NodeConfig {
    maglev_model::config::NodeConfig { internal_ipv6: Some("2001:db8::254".parse().unwrap()), ..node_config() }
}

/// Runs a full pass from a fresh dump to its end.
async fn another_pass(node: &Node) {
    node.clear_log();
    node.edit_node(|conf| conf.sync.interval += Duration::from_secs(1));
    node.until("a pass is over", |node| node.log().iter().any(|line| line.starts_with("vpp-lb-sync-done scope=all")))
        .await;
}

#[tokio::test]
async fn both_plugins_reach_the_desired_state_and_a_second_pass_writes_nothing() {
    for (release, capabilities) in [(Release::V26_10, "weights"), (Release::V26_06, "none")] {
        let mut node = Node::following_with_release(release, config(all_kinds(), both_sources())).await;
        node.until_programmed().await;
        let expected = format!(" capabilities={capabilities}");
        assert!(
            node.log().iter().any(|line| line.starts_with("vpp-connect ") && line.ends_with(&expected)),
            "{expected}"
        );
        let snapshot = node.simulator.snapshot();
        let desired: BTreeMap<VppVip, Frontend> =
            all_kinds().into_iter().map(|frontend| (frontend.vip.into(), frontend)).collect();
        assert_eq!(snapshot.vips.keys().collect::<Vec<_>>(), desired.keys().collect::<Vec<_>>());
        for (id, frontend) in &desired {
            let (settings, ases) = (snapshot.vips[id].settings, &snapshot.vips[id].ases);
            let encap = maglev_model::actual::ActualEncap::from(frontend.encap.unwrap());
            assert_eq!(
                (settings.encap, settings.table_length, settings.src_ip_sticky, settings.dscp),
                (encap.kind, frontend.table_length.get().into(), frontend.sticky, encap.dscp)
            );
            let serving = ases.iter().filter(|(_, server)| server.buckets > 0).map(|(address, _)| *address);
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
async fn without_weights_a_standby_is_added_and_removed() {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a]), pool("standby", &[&b])]);
    let node = Node::following_with_release(Release::V26_06, config([web], node_config())).await;
    node.until_programmed().await;
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 1)]).await;
    node.clear_log();
    let mark = node.simulator.mark();
    node.set_state(&a, Down);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.2", 1)]).await;
    node.set_state(&a, Up);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 1)]).await;
    node.until("all changes are published", |node| node.changes().len() >= 4).await;
    let line = |change: &str, backend: &str, server: &str, flush: bool| {
        format!("vpp-lb-sync-as-{change} {COMMON} backend=default/{backend} as={server} weight=1 flush={flush}")
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
    assert_eq!(node.simulator.writes_since(mark).len(), 4, "no other write");
    assert!(
        !node.log().iter().any(|line| line.starts_with("frontend-programmed")),
        "health does not cause a new report"
    );
}

#[tokio::test]
async fn without_weights_only_disabled_and_failed_backends_are_flushed() {
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
    let node = Node::following_with_release(Release::V26_06, config([web(OnBackendDown::Keep)], node_config())).await;
    node.until_programmed().await;
    let mark = node.simulator.mark();
    node.set_state(&a, Down);
    node.until_weights(vip("203.0.113.1"), &[]).await;
    node.set_state(&a, Up);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 1)]).await;
    let set_admin_state = |state| {
        let stopped = maglev_model::config::Backend { admin_state: state, ..a.clone() };
        node.edit("web", |web| web.pools = vec![pool("primary", &[&stopped])]);
    };
    set_admin_state(AdminState::Paused);
    node.until_weights(vip("203.0.113.1"), &[]).await;
    assert_eq!(flushed(&node, mark), 0, "flows of kept and paused servers are not flushed");
    set_admin_state(AdminState::Disabled);
    node.until("its flows are flushed", |node| flushed(node, mark) == 1).await;
    set_admin_state(AdminState::Enabled);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 1)]).await;
    another_pass(&node).await;
    assert_eq!(flushed(&node, mark), 1);
}

#[tokio::test]
async fn without_weights_unequal_weights_are_reported_and_served_equally() {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let mut web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a, &b])]);
    web.pools[0].members[0].weight = Weight::new(55).unwrap();
    let node = Node::following_with_release(Release::V26_06, config([web], node_config())).await;
    node.until_programmed().await;
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 1), ("192.0.2.2", 1)]).await;
    let is_reported = |node: &Node, generation: u8, reason: &str| {
        let line = format!("frontend-programmed name=default/web generation={generation} result=Programmed{reason}");
        node.log().contains(&line)
    };
    assert!(is_reported(&node, 1, " reason=WeightsUnsupported"));
    node.edit("web", |web| web.pools[0].members[0].weight = Weight::ZERO);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.2", 1)]).await;
    node.until("the report is updated", |node| is_reported(node, 2, "")).await;
}

#[tokio::test]
async fn settings_that_the_legacy_plugin_cannot_report_are_written_once() {
    let a = backend("a", "192.0.2.1");
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
    let mut conf = node_config();
    (conf.vpp.sticky_buckets_per_core, conf.vpp.flow_timeout) = (Some(2048), Some(60));
    let node = Node::following_with_release(Release::V26_06, config([web], conf)).await;
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
    node.until("VPP is programmed again", |node| {
        numbers(node) == (2048, 60) && !node.weights(vip("203.0.113.1")).is_empty()
    })
    .await;
}

#[tokio::test]
async fn drift_of_the_legacy_plugin_is_repaired() {
    let a = backend("a", "192.0.2.1");
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
    let node = Node::following_with_release(Release::V26_06, config([web], node_config())).await;
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
        |web: &mut Frontend| web.encap = Some(Encap::L3dsr(Dscp::new(7).unwrap())),
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

/// The VIPs and application servers in VPP, garbage included, as `show lb` counts them.
fn in_pools(node: &Node) -> usize {
    node.simulator.edit(|lb| lb.pool_sizes()).0
}

#[tokio::test]
async fn garbage_of_the_legacy_plugin_is_collected_after_removals_unless_a_nat_vip_is_there() {
    for nat in [false, true] {
        let a = backend("a", "192.0.2.1");
        let vips =
            (1..=3).map(|n| frontend(&format!("f{n}"), vip(&format!("203.0.113.{n}")), vec![pool("primary", &[&a])]));
        let mut node = Node::with_release(Release::V26_06).await;
        node.garbage_interval = Duration::from_millis(50);
        if nat {
            let settings = VipSettings { encap: 3, target_port: 8080, ..VipSettings::default() };
            node.simulator.edit(|lb| lb.add_vip(Prefix::host(ip("198.51.100.1")), 6, 80, settings).unwrap());
        }
        node.set_config(config(vips, node_config()));
        node.all_up();
        node.start_agent();
        node.until_programmed().await;
        node.remove("f1");
        node.remove("f2");
        let live = 1 + usize::from(nat);
        node.until("the VIPs are removed", |node| node.simulator.snapshot().vips.len() == live).await;
        assert_eq!(in_pools(&node), 3 + usize::from(nat), "the removed VIPs are still there");
        node.simulator.advance(Duration::from_secs(200));
        if nat {
            let reads = |node: &Node| node.simulator.requests()["cli_inband"];
            let before = reads(&node);
            node.until("the agent has looked for garbage", |node| reads(node) >= before + 5).await;
            assert_eq!(in_pools(&node), 4, "nothing is collected beside a NAT VIP");
        } else {
            node.until("they are collected", |node| in_pools(node) == 1).await;
        }
        assert_eq!(node.simulator.snapshot().vips.len(), live);
    }
}

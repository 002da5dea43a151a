//! NAT VIPs in VPP: the agent reports them, and changes nothing on their addresses.

use std::time::Duration;

use maglev_agent::{AgentOptions, VppConnector, WithdrawError, withdraw};
use maglev_model::{
    actual::{ActualEncap, VppVip},
    config::{ForeignVips, NodeConfig, Standing, SyncConf},
    event::Event,
    health::BackendState::Down,
    problem::{Problem, Reason},
    vip::VipKey,
};
use maglev_testkit::objects::{backend, config, frontend, ip, node_config, pool, vip};
use maglev_vpp_simulator::{Prefix, Release, VipSettings};

use super::fixture::Node;

const LIMIT: Duration = Duration::from_secs(30);
const NAT: ActualEncap = ActualEncap { kind: 3, dscp: 0, target_port: 8080 };

/// Adds a NAT VIP with target port 8080 and the server 192.0.2.1, as another client of VPP.
fn add_nat_vip(node: &Node, key: VipKey) {
    let settings = VipSettings { encap: NAT.kind, target_port: NAT.target_port, ..VipSettings::default() };
    node.simulator.edit(|lb| {
        lb.add_vip(Prefix::host(key.address), 6, 80, settings).unwrap();
        lb.add_as(key.into(), ip("192.0.2.1"), 10).unwrap();
    });
}

/// Replaces the VIP of a Frontend by a NAT VIP, as if version 0.1.0 had added it.
fn replace_by_nat_vip(node: &Node, key: VipKey) {
    node.simulator.edit(|lb| {
        lb.remove_as(key.into(), ip("192.0.2.1")).unwrap();
        lb.remove_vip(Prefix::host(key.address), 6, 80).unwrap();
    });
    add_nat_vip(node, key);
}

async fn two_passes(node: &Node) {
    for _ in 0..2 {
        let passes =
            |node: &Node| node.log().iter().filter(|line| line.starts_with("vpp-lb-sync-done scope=all")).count();
        let before = passes(node);
        node.sync_now().await.unwrap();
        node.until("a pass is over", |node| passes(node) > before).await;
    }
}

async fn until_logged(node: &Node, expected: &str) {
    node.until(expected, |node| node.log().iter().any(|line| line == expected)).await;
}

fn foreign_vips(node: &Node) -> Vec<VppVip> {
    let foreign = |event| if let Event::ForeignVip { vip } = event { Some(vip) } else { None };
    node.published().into_iter().filter_map(foreign).collect()
}

#[tokio::test]
async fn foreign_nat_vips_are_reported_and_never_removed() {
    for (release, target_port) in [(Release::V26_10, 8080), (Release::V26_06, 0)] {
        let mut node = Node::with_release(release).await;
        let vips = [vip("203.0.113.1"), vip("203.0.113.2")];
        // Both have the same server and target port: removing them aborts VPP.
        vips.into_iter().for_each(|key| add_nat_vip(&node, key));
        let before = node.simulator.snapshot().vips;
        let sync = SyncConf { foreign_vips: ForeignVips::Remove, ..SyncConf::default() };
        node.set_config(config([], NodeConfig { sync, ..node_config() }));
        node.start_agent();
        node.until_ready().await;
        two_passes(&node).await;
        assert_eq!(foreign_vips(&node), vips.map(VppVip::from), "{release:?}");
        let reported = node.published().into_iter().find_map(|event| match event {
            Event::VppLbState { actual, .. } => Some(actual.vips.values().map(|vip| vip.encap).collect::<Vec<_>>()),
            _ => None,
        });
        assert_eq!(reported, Some(vec![Some(ActualEncap { target_port, ..NAT }); 2]), "{release:?}");
        assert_eq!(node.changes(), [""; 0]);
        assert_eq!(node.simulator.snapshot().vips, before, "{release:?}");
    }
}

#[tokio::test]
async fn frontends_on_the_address_of_a_nat_vip_are_held_until_vpp_restarts() {
    for release in [Release::V26_10, Release::V26_06] {
        let a = backend("a", "192.0.2.1");
        let mut node = Node::with_release(release).await;
        add_nat_vip(&node, vip("203.0.113.1"));
        let before = node.simulator.snapshot().vips;
        let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
        let mut https = frontend("https", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
        https.vip.service = maglev_model::vip::Service::Port {
            protocol: maglev_model::vip::Protocol::Tcp,
            port: 443.try_into().unwrap(),
        };
        node.set_config(config([web, https], node_config()));
        node.all_up();
        node.start_agent();
        for name in ["web", "https"] {
            let held = format!("frontend-programmed name=default/{name} generation=1 result=Held reason=NatVipInVpp");
            until_logged(&node, &held).await;
        }
        node.set_state(&a, Down);
        two_passes(&node).await;
        assert_eq!(node.changes(), [""; 0]);
        assert_eq!(node.simulator.snapshot().vips, before, "{release:?}");
        assert_eq!(foreign_vips(&node), [], "a Frontend claims it");

        node.all_up();
        node.clear_log();
        node.simulator.restart().await.unwrap();
        node.until_programmed().await;
        assert_eq!(node.simulator.snapshot().vips.len(), 2);
    }
}

#[tokio::test]
async fn nat_vip_of_an_earlier_version_is_kept_while_its_frontend_is_held_and_after_its_deletion() {
    let a = backend("a", "192.0.2.1");
    let frontends = ["203.0.113.1", "203.0.113.2"].map(|address| {
        let name = if address.ends_with('1') { "web" } else { "other" };
        frontend(name, vip(address), vec![pool("primary", &[&a])])
    });
    let mut node = Node::following(config(frontends, node_config())).await;
    node.until_programmed().await;
    node.stop_agent().await;
    replace_by_nat_vip(&node, vip("203.0.113.1"));
    let nat_vip = node.simulator.snapshot().vips[&vip("203.0.113.1").into()].clone();
    node.edit("web", |web| {
        web.standing = Standing::Held(Problem::new(Reason::EncapUnsupported, "spec.encap.type", "NAT"));
        (web.pools, web.encap) = (vec![], None);
    });
    node.clear_log();
    node.start_agent();
    until_logged(&node, "frontend-programmed name=default/web generation=2 result=Held reason=EncapUnsupported").await;
    two_passes(&node).await;
    assert_eq!((node.changes(), foreign_vips(&node)), (vec![], vec![]));

    node.remove("web");
    // A pass reports it once the agent has taken the configuration.
    let passes = async {
        while foreign_vips(&node) != [vip("203.0.113.1").into()] {
            two_passes(&node).await;
        }
    };
    tokio::time::timeout(LIMIT, passes).await.expect("it is reported as foreign");
    two_passes(&node).await;
    assert_eq!(node.changes(), [""; 0]);
    assert_eq!(node.simulator.snapshot().vips[&vip("203.0.113.1").into()], nat_vip);
}

#[tokio::test]
async fn withdraw_removes_other_vips_and_names_the_number_of_nat_vips() {
    let a = backend("a", "192.0.2.1");
    let frontends = ["203.0.113.1", "203.0.113.2"]
        .map(|address| frontend(&format!("f{}", &address[10..]), vip(address), vec![pool("primary", &[&a])]));
    let mut node = Node::following(config(frontends, node_config())).await;
    node.until_programmed().await;
    node.stop_agent().await;
    replace_by_nat_vip(&node, vip("203.0.113.1"));
    let options = AgentOptions { deadline: Duration::from_secs(1), ..AgentOptions::new("node-a", &node.socket) };
    let connector = VppConnector::new(&node.socket, node.events());
    for _ in 0..2 {
        let error = withdraw(&options, &connector, node.events()).await.unwrap_err();
        assert!(matches!(error, WithdrawError::NatVips(1)), "{error}");
    }
    let vips = node.simulator.snapshot().vips;
    assert_eq!(vips.keys().copied().collect::<Vec<_>>(), [vip("203.0.113.1").into()]);
}

//! A VIP of another client on the address of a Frontend: VPP refuses a second type of encapsulation there, so the
//! Frontend's VIP is neither removed nor asked for in vain.

use std::time::Duration;

use maglev_model::{
    actual::VppVip,
    config::ForeignVips,
    health::BackendState::{Down, Up},
    vip::{Dscp, Encap},
};
use maglev_testkit::objects::{backend, config, frontend, ip, node_config, pool, vip};
use maglev_vpp_simulator::{Prefix, VipSettings};

use super::fixture::Node;

const HELD: &str = "result=Held reason=OtherVipInVpp";

fn foreign() -> VppVip {
    VppVip { port: 90, ..vip("203.0.113.1").into() }
}

fn add_foreign_vip(node: &Node, encap: u32) {
    let settings = VipSettings { encap, dscp: 7, ..VipSettings::default() };
    node.simulator.edit(|lb| lb.add_vip(Prefix::host(ip("203.0.113.1")), 6, 90, settings).unwrap());
}

fn l3dsr() -> Encap {
    Encap::L3dsr(Dscp::new(7).unwrap())
}

#[tokio::test]
async fn vip_stays_while_a_foreign_vip_forbids_its_new_encap() {
    let a = backend("a", "192.0.2.1");
    let node =
        Node::following(config([frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])])], node_config()))
            .await;
    node.until_programmed().await;
    node.until_ready().await;
    add_foreign_vip(&node, 0);
    // The agent has not read the foreign VIP yet.
    let mark = node.simulator.mark();
    node.edit_node(|conf| conf.sync.interval = Duration::from_millis(500));
    node.edit("web", |web| web.encap = Some(l3dsr()));
    let held = format!("frontend-programmed name=default/web generation=2 {HELD}");
    node.until("the Frontend is held", |node| node.log().contains(&held)).await;
    assert_eq!(node.simulator.writes_since(mark), []);
    // What serves goes on serving, and follows the health of its backends.
    node.set_state(&a, Down);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 0)]).await;
    node.set_state(&a, Up);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 10)]).await;
    assert_eq!(node.simulator.writes_since(mark).len(), 2);

    node.edit_node(|conf| conf.sync.foreign_vips = ForeignVips::Remove);
    node.until_one_programmed("web").await;
    let vips = node.simulator.snapshot().vips;
    assert!(!vips.contains_key(&foreign()));
    assert_eq!(vips[&vip("203.0.113.1").into()].settings.encap, 2);
}

#[tokio::test]
async fn vip_is_added_once_the_foreign_vip_is_gone() {
    let a = backend("a", "192.0.2.1");
    let mut node = Node::new().await;
    add_foreign_vip(&node, 2);
    let mut conf = node_config();
    conf.sync.interval = Duration::from_millis(500);
    node.set_config(config([frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])])], conf));
    node.all_up();
    node.start_agent();
    let held = format!("frontend-programmed name=default/web generation=1 {HELD}");
    node.until("the Frontend is held", |node| node.log().contains(&held)).await;
    node.until_ready().await;
    let errors = node.log().into_iter().filter(|line| line.starts_with("vpp-lb-sync-error")).count();
    let writes = node.simulator.writes_since(node.start);
    assert!(errors == 0 && writes.len() <= 1, "VPP is asked for nothing but its settings: {writes:?}");
    node.simulator.edit(|lb| lb.remove_vip(Prefix::host(ip("203.0.113.1")), 6, 90).unwrap());
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 10)]).await;
    node.until_programmed().await;
}

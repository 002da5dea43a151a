//! VIPs whose tables differ between nodes, in the status of MaglevNodes.

use super::scene::Scene;
use crate::links::{LinkFailure, LinkUpdate};
use maglev_model::{
    actual::VppVip,
    change::{Change, VipState},
};

const FRONTEND: VppVip = vip(80);

const fn vip(port: u16) -> VppVip {
    VppVip { address: std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1)), length: 32, protocol: 6, port }
}

/// A VIP with two servers.
fn table(weight: u8) -> Change {
    let servers = [([10, 0, 0, 1].into(), weight), ([10, 0, 0, 2].into(), 10)];
    let state = VipState { table_length: Some(1024), servers: servers.into(), ..VipState::default() };
    Change::Vip(FRONTEND, Some(state))
}

fn scene(nodes: &[&str]) -> Scene {
    let mut scene = Scene::programmed(nodes);
    nodes.iter().for_each(|node| scene.apply_change(node, table(10)));
    scene.advance(0);
    scene.reconcile();
    scene
}

fn differing(scene: &mut Scene, seconds: u64, nodes: &[&str]) -> Vec<Option<i32>> {
    scene.advance(seconds);
    scene.reconcile();
    nodes.iter().map(|node| scene.node_status(node).vips_differing).collect()
}

#[test]
fn node_without_the_table_of_the_majority_counts_the_vip_after_10_s() {
    let nodes = ["a", "b", "c"];
    let mut scene = scene(&nodes);
    assert_eq!(differing(&mut scene, 60, &nodes), [Some(0); 3]);
    scene.apply_change("b", Change::Server(FRONTEND, [10, 0, 0, 1].into(), Some(40)));
    assert_eq!(differing(&mut scene, 0, &nodes), [Some(0); 3]);
    assert_eq!(differing(&mut scene, 9, &nodes), [Some(0); 3]);
    // Another change of the same table does not start again.
    scene.apply_change("b", Change::Server(FRONTEND, [10, 0, 0, 1].into(), Some(50)));
    assert_eq!(differing(&mut scene, 1, &nodes), [Some(0), Some(1), Some(0)]);
    scene.apply_change("b", Change::Server(FRONTEND, [10, 0, 0, 1].into(), Some(10)));
    assert_eq!(differing(&mut scene, 0, &nodes), [Some(0); 3]);
}

#[test]
fn every_node_counts_the_vip_without_a_majority() {
    let nodes = ["a", "b"];
    let mut scene = scene(&nodes);
    scene.apply_change("b", table(40));
    assert_eq!(differing(&mut scene, 0, &nodes), [Some(0); 2]);
    assert_eq!(differing(&mut scene, 10, &nodes), [Some(1); 2]);
    // The table of a node whose agent or VPP is not connected is not known.
    scene.engine.apply_link(LinkUpdate::Link("b".into(), Err(LinkFailure::from("connection refused"))));
    assert_eq!(differing(&mut scene, 0, &nodes), [Some(0), None]);
    scene.engine.apply_link(LinkUpdate::Link("b".into(), Ok(())));
    assert_eq!(differing(&mut scene, 10, &nodes), [Some(0); 2], "the difference begins again");
    assert_eq!(differing(&mut scene, 10, &nodes), [Some(1); 2]);
    scene.apply_change("b", Change::VppDisconnected);
    assert_eq!(differing(&mut scene, 0, &nodes), [Some(0), None]);
}

#[test]
fn vip_without_a_frontend_is_not_compared() {
    let nodes = ["a", "b"];
    let mut scene = scene(&nodes);
    scene.apply_change("b", table(40));
    differing(&mut scene, 0, &nodes);
    assert_eq!(differing(&mut scene, 10, &nodes), [Some(1); 2]);
    scene.delete("Frontend", "shop/web");
    assert_eq!(differing(&mut scene, 0, &nodes), [Some(0); 2]);
    let Change::Vip(_, state) = table(1) else { unreachable!("a VIP") };
    scene.apply_change("a", Change::Vip(vip(81), state));
    let Change::Vip(_, state) = table(2) else { unreachable!("a VIP") };
    scene.apply_change("b", Change::Vip(vip(81), state));
    differing(&mut scene, 0, &nodes);
    assert_eq!(differing(&mut scene, 10, &nodes), [Some(0); 2]);
}

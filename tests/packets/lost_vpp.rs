//! Flows of a VPP that is lost: restarted, or gone while another node goes on.
//!
//! VPP loses its sticky table with its process. A flow survives if its bucket has the same backend as before: the bucket comes from
//! the flow's addresses and ports, and the backends of the buckets from the set of servers and weights, which are the same after
//! the restart, and on every node. A flow whose bucket has moved since it began, as those of a paused backend, was only in the
//! sticky table: its packets go to another backend, which resets it.

use std::net::SocketAddr;

use crate::connection::{Connection, backend_of_bucket};
use crate::lab::{GRE4, Lab, TCP, UDP, on_each_vpp, server};
use crate::vpp::Vpp;

fn vip() -> SocketAddr {
    "203.0.113.10:80".parse().unwrap()
}

/// Adds the VIP with a weight of `web-1`, and 10 for the other backends.
async fn add(vpp: &Vpp, weight: u8) {
    let weights = [(server(1), weight), (server(2), 10), (server(3), 10), (server(4), 10)];
    vpp.add_vip(vip(), TCP, GRE4, &weights).await;
    vpp.add_vip(vip(), UDP, GRE4, &weights).await;
}

async fn add_with_paused_backend(vpp: &Vpp) {
    add(vpp, 0).await;
}

/// Opens 80 connections and then pauses `web-1`.
async fn connections_with_paused_backend(lab: &Lab) -> Vec<Connection> {
    for vpp in &lab.vpps {
        add(vpp, 10).await;
    }
    lab.until_served(vip(), TCP).await;
    lab.until_served(vip(), UDP).await;
    let mut connections = Connection::open_all(lab, vip(), 20_000..20_080).await;
    for protocol in [TCP, UDP] {
        lab.set_weight(vip(), protocol, server(1), 0, false).await;
    }
    for connection in &mut connections {
        assert!(connection.is_alive().await, "the pause keeps {}", connection.port);
    }
    connections
}

/// The number of connections that survived and broke.
#[derive(Debug, Default)]
struct Ends {
    survived: usize,
    broken: usize,
}

/// Checks that exactly the connections survive whose buckets have the same backends as when they began.
async fn check_buckets(lab: &Lab, connections: impl IntoIterator<Item = &mut Connection>) -> Ends {
    let mut ends = Ends::default();
    for connection in connections {
        let is_unchanged = backend_of_bucket(lab, vip(), connection.port).await == connection.backend;
        let Connection { port, node, .. } = *connection;
        assert_eq!(connection.is_alive().await, is_unchanged, "port {port}, node {node}, {}", connection.backend);
        *(if is_unchanged { &mut ends.survived } else { &mut ends.broken }) += 1;
    }
    ends
}

async fn flows_of_unchanged_buckets_survive_a_restart_of_vpp(lab: Lab) {
    let mut connections = connections_with_paused_backend(&lab).await;
    lab.vpps[0].stop().await;
    lab.until_routed(vip(), []).await;
    lab.start_again(0, add_with_paused_backend).await;
    lab.until_routed(vip(), [0]).await;
    let paused = connections.iter().filter(|connection| connection.backend == "web-1").count();
    let ends = check_buckets(&lab, &mut connections).await;
    assert!(ends.broken >= paused && paused > 5, "a paused backend has no bucket: {ends:?}, {paused}");
    assert!(ends.survived > 40, "{ends:?}");
}

async fn loss_of_a_vpp_breaks_no_flow_of_the_other_node(lab: Lab) {
    let connections = connections_with_paused_backend(&lab).await;
    let (mut moved, mut stayed): (Vec<_>, Vec<_>) =
        connections.into_iter().partition(|connection| connection.node == 0);
    assert!(moved.len() > 20 && stayed.len() > 20, "{} moved, {} stayed", moved.len(), stayed.len());
    assert!(stayed.iter().any(|connection| connection.backend == "web-1"));

    lab.vpps[0].stop().await;
    lab.until_routed(vip(), [1]).await;
    for connection in &mut stayed {
        assert!(connection.is_alive().await, "port {} of {}", connection.port, connection.backend);
    }
    let ends = check_buckets(&lab, &mut moved).await;
    assert!(ends.survived > 10 && ends.broken > 0, "{ends:?}");

    // The router gives the returned VPP the flows that it had.
    lab.start_again(0, add_with_paused_backend).await;
    lab.until_routed(vip(), [0, 1]).await;
    for connection in &mut stayed {
        assert!(connection.is_alive().await, "port {} of {}", connection.port, connection.backend);
    }
}

on_each_vpp! {
    1 => flows_of_unchanged_buckets_survive_a_restart_of_vpp,
    2 => loss_of_a_vpp_breaks_no_flow_of_the_other_node,
}

//! Shares of nodes and backends in the flows of many clients, tested with Pearson's chi-square.
//!
//! The clients' addresses and ports come from a seed, and every hash is fixed, so the result is the same in each run.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use crate::lab::{BACKENDS, GRE4, Lab, UDP, counts, datagram_from, first_word, on_each_vpp, print, server};
use crate::vpp::Vpp;

const FLOWS: f64 = 4000.0;
/// The values that chi-square exceeds with a probability of 1 in 1000, for 1 and 2 degrees of freedom.
const LIMITS: [f64; 2] = [10.83, 13.82];

/// Pearson's statistic of counts and their expected values.
fn chi_square(found: &[f64], expected: &[f64]) -> f64 {
    found.iter().zip(expected).map(|(found, expected)| (found - expected).powi(2) / expected).sum()
}

/// Different addresses and ports of clients.
fn clients() -> BTreeSet<SocketAddr> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut clients = BTreeSet::new();
    while clients.len() < FLOWS as usize {
        clients.insert((Ipv4Addr::new(198, 51, 100, random.u8(2..=254)), random.u16(1024..)).into());
    }
    clients
}

async fn shares_of_nodes_and_backends_pass_chi_square(lab: Lab) {
    if !lab.vpps[0].has_weights().await {
        return print("shares_of_nodes_and_backends_pass_chi_square is NOT RUN: this VPP has no weights\n");
    }
    let vip: SocketAddr = "203.0.113.10:53".parse().unwrap();
    let weights = [40, 20, 20, 0];
    lab.client.configure("route add local 198.51.100.0/24 dev lo\n").unwrap();
    let servers: Vec<_> = (1..=BACKENDS).map(server).collect();
    lab.add_vip(vip, UDP, GRE4, &servers.iter().copied().zip(weights).collect::<Vec<_>>()).await;
    let answers =
        move || clients().into_iter().map(|client| datagram_from(client, vip)).collect::<io::Result<Vec<_>>>();
    let answers = counts(lab.in_client(answers).await.unwrap().iter().map(|answer| first_word(answer)));

    // The flows of each node to each backend, of one packet each.
    let sent = async |vpp: &Vpp| {
        let mut sent = Vec::new();
        for server in &servers {
            sent.push(vpp.sent(*server).await as f64);
        }
        sent
    };
    let by_node: [Vec<f64>; 2] = [sent(&lab.vpps[0]).await, sent(&lab.vpps[1]).await];
    let by_backend: Vec<f64> = by_node[0].iter().zip(&by_node[1]).map(|(first, second)| first + second).collect();
    let answered =
        (1..=BACKENDS).map(|number| answers.get(&format!("web-{number}")).map_or(0.0, |count| *count as f64));
    assert_eq!(answered.collect::<Vec<_>>(), by_backend, "all packets of the VPPs are answered");
    assert_eq!((by_backend[3], by_backend.iter().sum()), (0.0, FLOWS), "weight 0 gets no flow");

    let expected = weights.map(|weight| FLOWS * f64::from(weight) / 80.0);
    let of_backends = chi_square(&by_backend[..3], &expected[..3]);
    assert!(of_backends < LIMITS[1], "chi-square {of_backends:.1} of {by_backend:?}, not {expected:?}");

    let totals: Vec<f64> = by_node.iter().map(|flows| flows.iter().sum()).collect();
    let of_nodes = chi_square(&totals, &[FLOWS / 2.0; 2]);
    assert!(of_nodes < LIMITS[0], "chi-square {of_nodes:.1} of {totals:?}");

    // The router's choice of a node and VPP's choice of a backend are independent.
    let expected = |node: usize| by_backend[..3].iter().map(|flows| flows * totals[node] / FLOWS).collect::<Vec<_>>();
    let of_both: f64 = (0..2).map(|node| chi_square(&by_node[node][..3], &expected(node))).sum();
    assert!(of_both < LIMITS[1], "chi-square {of_both:.1} of {by_node:?}");
}

on_each_vpp! {
    2 => shares_of_nodes_and_backends_pass_chi_square,
}

//! Shares of the servers in new flows.

use std::collections::BTreeMap;

use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng},
};

use super::*;

/// Quantile of the chi-square distribution with 2 degrees of freedom: a test of random flows fails once in a million runs.
const LIMIT: f64 = 27.6;

#[test]
fn random_flows_are_shared_by_the_buckets_of_the_weights() {
    let weights = [100, 25, 0, 200];
    let (mut vpp, vip) = Vpp::serving(&weights);
    let buckets = vpp.simulator.snapshot().vips[&vip].ases.clone();
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut counts: BTreeMap<IpAddr, f64> = BTreeMap::new();
    let flows = 20_000;
    for _ in 0..flows {
        let source = random.next_u32().to_be_bytes();
        let packet = tcp4(source, random.next_u32() as u16, VIP, 80);
        *counts.entry(vpp.server(&packet)).or_default() += 1.0;
    }
    assert_eq!(counts.get(&server(2)), None, "weight 0 has no new flows");
    let chi_square: f64 = buckets
        .iter()
        .filter(|(_, server)| server.buckets > 0)
        .map(|(address, server)| {
            let expected = f64::from(flows) * f64::from(server.buckets) / 1024.0;
            (counts[address] - expected).powi(2) / expected
        })
        .sum();
    assert!(chi_square < LIMIT, "{chi_square}: {counts:?}, {buckets:?}");
}

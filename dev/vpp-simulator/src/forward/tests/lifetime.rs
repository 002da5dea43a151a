//! Removed servers, deleted VIPs, and VPPs that stop.

use super::*;
use crate::snapshot::VipSnapshot;

fn snapshot(vpp: &Vpp, vip: VppVip) -> VipSnapshot {
    vpp.simulator.snapshot().vips.remove(&vip).unwrap()
}

#[test]
fn removed_server_keeps_its_flows_and_stays_in_vpp_until_they_are_gone() {
    let (mut vpp, vip) = Vpp::serving(&[10, 10]);
    let number = (0..).find(|number| vpp.server(&flow(*number)) == server(0)).unwrap();
    vpp.simulator.edit(|lb| lb.remove_as(vip, server(0))).unwrap();
    assert_eq!(vpp.server(&flow(number)), server(0));
    // Garbage collection runs every minute.
    vpp.advance(300);
    assert!(snapshot(&vpp, vip).uncollected_ases.contains(&server(0)), "an expired entry refers to the server");
    vpp.flush(vip, server(0));
    vpp.advance(200);
    assert!(snapshot(&vpp, vip).uncollected_ases.is_empty());
    assert_eq!(vpp.server(&flow(number)), server(1));
}

#[test]
fn removed_server_that_is_added_again_has_its_flows() {
    let (mut vpp, vip) = Vpp::serving(&[10, 10]);
    let number = (0..).find(|number| vpp.server(&flow(*number)) == server(0)).unwrap();
    vpp.simulator.edit(|lb| lb.remove_as(vip, server(0))).unwrap();
    vpp.add_as(vip, server(0), 0);
    assert_eq!(vpp.server(&flow(number)), server(0));
}

#[test]
fn deleted_vip_takes_no_packets_and_its_successor_does_not_know_the_flows() {
    let (mut vpp, vip) = Vpp::serving(&[10]);
    assert_eq!(vpp.server(&flow(1)), server(0));
    let prefix = Prefix::host(VIP.into());
    vpp.simulator.edit(|lb| lb.remove_vip(prefix, TCP, 80)).unwrap();
    assert_eq!(vpp.verdict(&flow(1)), Verdict::NoVip);
    vpp.add_vip(VIP, TCP, 80, VipSettings::default());
    vpp.add_as(vip, server(1), 10);
    assert_eq!(vpp.server(&flow(1)), server(1));
    assert_eq!(vpp.packets(vip), [0, 1, 0, 0]);
    // The flow keeps the deleted VIP and its server in the pools.
    vpp.advance(300);
    assert_eq!(vpp.simulator.snapshot().deleted_vips, 1);
}

#[test]
fn vip_whose_flows_are_gone_is_collected() {
    let (mut vpp, _) = Vpp::serving(&[10]);
    vpp.simulator.edit(|lb| lb.remove_vip(Prefix::host(VIP.into()), TCP, 80)).unwrap();
    assert_eq!(vpp.verdict(&flow(1)), Verdict::NoVip);
    vpp.advance(300);
    assert_eq!(vpp.simulator.snapshot().deleted_vips, 0);
}

#[tokio::test]
async fn stopped_vpp_forwards_nothing_and_a_restarted_one_from_its_table() {
    let weights = [10, 10, 10];
    let (mut vpp, vip) = Vpp::serving(&weights);
    let before: Vec<_> = (0..50).map(|number| vpp.server(&flow(number))).collect();
    vpp.simulator.stop().await.unwrap();
    assert_eq!(vpp.verdict(&flow(0)), Verdict::Down);
    vpp.simulator.start_again().await.unwrap();
    assert_eq!(vpp.verdict(&flow(0)), Verdict::NoVip, "the VIPs are lost");
    vpp.add_vip(VIP, TCP, 80, VipSettings::default());
    for (number, weight) in (0..).zip(weights) {
        vpp.add_as(vip, server(number), weight);
    }
    let after: Vec<_> = (0..50).map(|number| vpp.server(&flow(number))).collect();
    assert_eq!(after, before, "unchanged buckets have unchanged servers");
    assert_eq!(vpp.packets(vip), [0, 50, 0, 0]);
}

#[test]
fn forwarder_of_a_dropped_vpp_forwards_nothing() {
    let (vpp, _) = Vpp::serving(&[10]);
    let mut forwarder = vpp.forwarder.clone();
    assert_eq!(forwarder.forward(&flow(0), &mut |_| ()), Verdict::Forwarded(server(0)));
    drop(vpp);
    assert_eq!(forwarder.forward(&flow(0), &mut |_| ()), Verdict::Down);
}

#[tokio::test]
async fn crashed_vpp_forwards_nothing() {
    let (mut vpp, _) = Vpp::serving(&[10]);
    vpp.simulator.kill_after(1);
    let mut client = vpp.simulator.connect().await.unwrap();
    let request = crash_request();
    tokio::io::AsyncWriteExt::write_all(&mut client, &request).await.unwrap();
    vpp.simulator.wait_until_dead().await;
    assert_eq!(vpp.verdict(&flow(0)), Verdict::Down);
}

/// A frame of any content: VPP counts it as a request.
fn crash_request() -> Vec<u8> {
    let body = [0, 0];
    let mut frame = vec![0; 16];
    frame[8..12].copy_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(&body);
    frame
}

//! Restarts and injected faults of the simulated VPP.

use std::time::Duration;

use bytes::BytesMut;
use maglev_vpp::messages::{
    Message,
    lb::{LbAddDelVipV2, LbAddDelVipV2Reply, LbVipDump},
    memclnt::ControlPing,
};
use tokio::time::timeout;

use crate::{
    raw_client::{PATIENCE, RawClient},
    simulator::{add_vip, start, vip},
};

#[tokio::test]
async fn restart_closes_connections_loses_the_state_and_changes_the_pid() {
    let (_directory, simulator) = start().await;
    let mut client = RawClient::connect(simulator.api_socket()).await;
    client.call(add_vip(vip("203.0.113.1", 80))).await;
    let before = client.call(ControlPing {}).await.vpe_pid;
    assert_eq!(simulator.connections(), 1);
    simulator.restart().await.unwrap();
    assert_eq!(client.body().await, None, "closed");
    let mut client = RawClient::connect(simulator.api_socket()).await;
    assert_ne!(client.call(ControlPing {}).await.vpe_pid, before);
    assert_eq!(client.dump(LbVipDump::ALL).await, []);
    assert_eq!(client.call(add_vip(vip("203.0.113.9", 80))).await.retval, 0);
    assert_eq!(simulator.snapshot().vips[&vip("203.0.113.9", 80)].pool_index, 1);
}

#[tokio::test]
async fn stopped_simulator_has_no_socket_and_can_be_started_again() {
    let (_directory, simulator) = start().await;
    let mut client = RawClient::connect(simulator.api_socket()).await;
    simulator.stop().await.unwrap();
    assert_eq!(client.body().await, None);
    assert!(!simulator.api_socket().exists());
    assert!(!simulator.is_running().await);
    simulator.start_again().await.unwrap();
    RawClient::connect(simulator.api_socket()).await;
    let socket = simulator.api_socket().to_owned();
    drop(simulator);
    assert!(!socket.exists());
}

#[tokio::test]
async fn crash_during_a_sync_loses_the_state() {
    let (_directory, simulator) = start().await;
    let mut client = RawClient::connect(simulator.api_socket()).await;
    let mark = simulator.mark();
    simulator.kill_after(3);
    let mut out = BytesMut::new();
    for port in 1..=9 {
        client.encode(&add_vip(vip("203.0.113.1", port)), &mut out);
    }
    client.send_bytes(&out).await;
    timeout(PATIENCE, simulator.wait_until_dead()).await.unwrap();
    assert_eq!(simulator.writes_since(mark).len(), 3);
    assert!(!simulator.is_running().await);
    assert!(simulator.api_socket().exists(), "a crash leaves the file");
    assert!(tokio::net::UnixStream::connect(simulator.api_socket()).await.is_err());
    simulator.start_again().await.unwrap();
    let mut client = RawClient::connect(simulator.api_socket()).await;
    assert_eq!(client.dump(LbVipDump::ALL).await, []);
}

#[tokio::test]
async fn table_length_0_crashes_the_simulator_like_vpp() {
    let (_directory, simulator) = start().await;
    let mut client = RawClient::connect(simulator.api_socket()).await;
    client.send(&LbAddDelVipV2 { new_flows_table_length: 0, ..add_vip(vip("203.0.113.1", 80)) }).await;
    assert_eq!(client.body().await, None);
    timeout(PATIENCE, simulator.wait_until_dead()).await.unwrap();
}

#[tokio::test]
async fn hanging_simulator_replies_after_it_wakes() {
    let (_directory, simulator) = start().await;
    let mut client = RawClient::connect(simulator.api_socket()).await;
    simulator.hang(Duration::from_secs(3600));
    client.send(&add_vip(vip("203.0.113.1", 80))).await;
    let greeting = RawClient::connect(simulator.api_socket());
    tokio::pin!(greeting);
    let replied = tokio::select! {
        _ = &mut greeting => true,
        _ = client.body() => true,
        () = tokio::time::sleep(Duration::from_millis(200)) => false,
    };
    assert!(!replied);
    assert_eq!(simulator.snapshot().vips.len(), 0, "no request is executed meanwhile");
    simulator.wake();
    let (_, reply) = client.next::<LbAddDelVipV2Reply>().await;
    assert_eq!(reply.retval, 0);
    greeting.await;
    simulator.hang(Duration::from_millis(50));
    client.call(ControlPing {}).await;
}

#[tokio::test]
async fn requests_of_a_disconnected_client_are_executed() {
    let (_directory, simulator) = start().await;
    let mut client = RawClient::connect(simulator.api_socket()).await;
    simulator.hang(Duration::from_secs(3600));
    let mark = simulator.mark();
    for port in 1..=20 {
        client.send(&add_vip(vip("203.0.113.1", port))).await;
    }
    drop(client);
    simulator.wake();
    let all_done = async {
        while simulator.writes_since(mark).len() < 20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, all_done).await.unwrap();
    assert_eq!(simulator.snapshot().vips.len(), 20);
}

#[tokio::test]
async fn swallowed_reply_is_lost_but_the_request_is_executed() {
    let (_directory, simulator) = start().await;
    let mut client = RawClient::connect(simulator.api_socket()).await;
    simulator.swallow_next_reply(LbAddDelVipV2::NAME);
    client.send(&add_vip(vip("203.0.113.1", 80))).await;
    assert_eq!(client.call(ControlPing {}).await.retval, 0, "the next reply is the ping's");
    assert_eq!(simulator.snapshot().vips.len(), 1);
    assert_eq!(client.call(add_vip(vip("203.0.113.1", 80))).await.retval, -81, "only one reply is lost");
}

#[tokio::test]
async fn delayed_replies_arrive_late_and_in_order() {
    let (_directory, simulator) = start().await;
    let mut client = RawClient::connect(simulator.api_socket()).await;
    let delay = Duration::from_millis(20);
    simulator.delay_replies(delay);
    let begin = std::time::Instant::now();
    client.call(ControlPing {}).await;
    client.call(ControlPing {}).await;
    assert!(begin.elapsed() >= 2 * delay);
}
